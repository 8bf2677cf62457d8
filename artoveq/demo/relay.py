"""A relay on loopback whose uplink carries only so many bits a second, along a trace; with delay, loss and cuts."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time

from edge_client.transport.emulated import UNLIMITED, CapacityTrace, Shaper

PACKET_BYTES, HEADER_BYTES = 1448, 52
"""What a packet carries, and what TCP/IP adds to it: the link pays for both."""
QUEUE_PACKETS = 32
"""What the link's queue holds before the sender has to wait."""


class Relay:
    """Listens on `port` and relays to `target`; towards the target it is as slow as the trace says.

    burst: bits that pass at once after a pause. delay: seconds, each way. loss: of packets, a share.
    """

    def __init__(
        self, trace: CapacityTrace, target_port: int, *, burst: float = 0.0, delay: float = 0.0, loss: float = 0.0
    ) -> None:
        self.trace = trace
        self._target, self._delay = target_port, delay
        self._shaping = functools.partial(Shaper, trace, burst=burst, delay=delay, loss=loss)
        self._pumps: set[asyncio.Task[None]] = set()
        self._healed = 0.0
        self.restart()

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0, limit=PACKET_BYTES)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self.reset()

    def restart(self) -> None:
        """The trace begins now."""
        self._began = time.monotonic()
        self._up, self._down = self._shaping(), Shaper(UNLIMITED, delay=self._delay)

    def cut(self, seconds: float) -> None:
        """Nothing arrives for so long; then everything does."""
        self._healed = time.monotonic() + seconds

    async def reset(self) -> None:
        """Every connection breaks."""
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    @property
    def capacity(self) -> float:
        """Bits per second now."""
        return self.trace.capacity(time.monotonic() - self._began)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            other_reader, other = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        for ends in ((reader, other, True), (other_reader, writer, False)):
            task = asyncio.create_task(self._pump(*ends))
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, up: bool) -> None:
        packets: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUE_PACKETS)
        delivering = asyncio.create_task(self._deliver(packets, writer))
        try:
            while data := await reader.read(PACKET_BYTES):
                now = time.monotonic() - self._began
                arrives = (self._up if up else self._down).arrives(now, 8 * (len(data) + HEADER_BYTES))
                await packets.put((self._began + arrives, data))
            await packets.put((0.0, b""))
            await delivering
        except ConnectionError:
            pass
        finally:
            delivering.cancel()
            writer.close()

    async def _deliver(self, packets: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                due, data = await packets.get()
                if not data:
                    return
                while (left := max(due, self._healed) - time.monotonic()) > 0:  # noqa: ASYNC110 (`cut` moves the time)
                    await asyncio.sleep(left)
                writer.write(data)
                await writer.drain()
