"""A relay on loopback whose uplink carries only so many bits a second, along a trace."""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import csv
import time
from pathlib import Path

from wire.exceptions import DataError

QUANTUM_BYTES = 16
"""Bytes are passed on in pieces this small, so that a slow link is smooth rather than bursty."""
SLACK_S = 0.005
"""How far the link may catch up: timers that fire late must not make it slower than the trace."""
BUFFER_BYTES = 2048
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


class Link:
    """Listens on `port` and relays to `target`; towards the target it is as slow as the trace says."""

    def __init__(self, trace: Trace, target_port: int) -> None:
        self.trace = trace
        self._target = target_port
        self._began = time.monotonic()
        self._pumps: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Link:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0, limit=BUFFER_BYTES)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def restart(self) -> None:
        """The trace begins now."""
        self._began = time.monotonic()

    @property
    def capacity(self) -> float:
        """Bits per second now."""
        return self.trace.capacity(time.monotonic() - self._began)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self._target)
        for pump in (self._slow(reader, upstream), _fast(upstream_reader, writer)):
            task = asyncio.create_task(pump)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _slow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        due = time.monotonic()
        with contextlib.suppress(ConnectionError), contextlib.closing(writer):
            while data := await reader.read(QUANTUM_BYTES):
                due = max(due, time.monotonic() - SLACK_S) + 8 * len(data) / self.capacity
                await asyncio.sleep(due - time.monotonic())
                writer.write(data)
                await writer.drain()


async def _fast(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError), contextlib.closing(writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
