"""A relay on loopback whose uplink carries only so many bits a second, along a trace; with delay, loss and cuts."""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import csv
import random
import time
from itertools import pairwise
from pathlib import Path

from wire.exceptions import DataError

PACKET_BYTES, HEADER_BYTES = 1448, 52
"""What a packet carries, and what TCP/IP adds to it: the link pays for both."""
QUEUE_PACKETS = 32
"""What the link's queue holds before the sender has to wait."""


class Trace:
    """Capacity over time: steps of (seconds, bits per second); the last one stays."""

    def __init__(self, steps: list[tuple[float, float]]) -> None:
        if not steps or any(rate <= 0 for _, rate in steps) or steps != sorted(steps):
            raise DataError("A trace has rows of seconds,kilobits per second: growing times, rates above 0.")
        self.times = [at for at, _ in steps]
        self.rates = [rate for _, rate in steps]

    @classmethod
    def read(cls, path: Path) -> Trace:
        """Reads a CSV of seconds,kilobits per second; # begins a comment."""
        try:
            rows = csv.reader(line for line in path.read_text().splitlines() if line.strip()[:1] not in ("", "#"))
            return cls([(float(at), float(rate) * 1000) for at, rate in rows])
        except OSError as error:
            raise DataError(f"The trace {path} cannot be read ({error.strerror}).") from error
        except ValueError as error:
            raise DataError(f"The trace {path} is not a CSV of seconds,kilobits per second ({error}).") from error

    def capacity(self, at: float) -> float:
        """Bits per second at `at` seconds."""
        return self.rates[max(0, bisect.bisect_right(self.times, at) - 1)]

    def bits(self, start: float, end: float) -> float:
        """What passes from `start` to `end`."""
        edges = [start, *(at for at in self.times if start < at < end), end]
        return sum(self.capacity(a) * (b - a) for a, b in pairwise(edges))

    def carried(self, start: float, bits: float) -> float:
        """When `bits` have passed that begin to pass at `start`."""
        i = max(0, bisect.bisect_right(self.times, start) - 1)
        for rate, until in zip(self.rates[i:], [*self.times[i + 1 :], float("inf")], strict=True):
            if (end := start + bits / rate) <= until:
                return end
            bits -= rate * (until - start)
            start = until
        raise AssertionError("the last step has no end")


class Shaper:
    """When packets leave a link, in its own time. Pure: the clock is an argument.

    A token bucket of `burst` bits fills along the trace; a packet leaves when the bucket holds its bits.
    The `loss`th part of packets is lost; TCP notices a round trip or two later and sends it again, and
    what is behind it waits.
    """

    def __init__(self, trace: Trace, *, burst: float = 0.0, delay: float = 0.0, loss: float = 0.0) -> None:
        self.trace, self._burst, self._delay, self._loss = trace, burst, delay, loss
        self._tokens, self._since = burst, 0.0
        self._stalled = 0.0
        self._random = random.Random(0)

    def arrives(self, now: float, bits: float) -> float:
        """When a packet arrives at the other end that is handed over at `now`; calls are in order."""
        start = max(now, self._since)
        self._tokens = min(self._burst, self._tokens + self.trace.bits(self._since, start))
        self._since = start
        if bits <= self._tokens:
            self._tokens -= bits
            left = start
        else:
            left = self.trace.carried(start, bits - self._tokens)
            self._tokens, self._since = 0.0, left
        if self._random.random() < self._loss:
            self._stalled = left + 4 * self._delay
        return max(left, self._stalled) + self._delay


class Link:
    """Listens on `port` and relays to `target`; towards the target it is as slow as the trace says.

    burst: bits that pass at once after a pause. delay: seconds, each way. loss: of packets, a share.
    """

    def __init__(
        self, trace: Trace, target_port: int, *, burst: float = 0.0, delay: float = 0.0, loss: float = 0.0
    ) -> None:
        self.trace = trace
        self._target, self._delay = target_port, delay
        self._shaping = {"burst": burst, "delay": delay, "loss": loss}
        self._pumps: set[asyncio.Task[None]] = set()
        self._healed = 0.0
        self.restart()

    async def __aenter__(self) -> Link:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0, limit=PACKET_BYTES)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self.reset()

    def restart(self) -> None:
        """The trace begins now."""
        self._began = time.monotonic()
        self._up, self._down = Shaper(self.trace, **self._shaping), Shaper(UNLIMITED, delay=self._delay)

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


UNLIMITED = Trace([(0.0, 1e12)])
