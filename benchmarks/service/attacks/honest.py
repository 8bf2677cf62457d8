"""An honest caller beside an attack: pictures at a steady rate, timed from when they were due; both ports' health."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc

from artoveq.processes import ServerProcess
from benchmarks.service.attacks.target import HOST, OPTIONS
from benchmarks.service.load import Counts, LoadStream, Payloads
from edge_client.transport.base import Metadata

Check = Callable[[int], Awaitable[None]]
RATE, STREAMS = 100.0, 4
"""Pictures a second, over so many streams."""
PATIENCE_S, HEALTH_PATIENCE_S = 30.0, 10.0
"""An answer that takes longer is lost; a check that takes longer has failed."""
HTTP_CHECK_S, GRPC_CHECK_S = 0.1, 0.5
"""Health is asked for this often, over a new connection each time, as load balancers do."""
BALANCER = "127.0.0.3"
"""Whoever asks for health has an address of its own."""
HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@dataclass
class Seen:
    """What the honest caller saw. latency_ms: of each picture; one that was lost or failed took all patience.

    healthz_s, grpc_health_s: of each check of a port's health.
    """

    latency_ms: list[float] = field(default_factory=list)
    answered: int = 0
    failed: int = 0
    wrong: int = 0
    healthz_s: list[float] = field(default_factory=list)
    grpc_health_s: list[float] = field(default_factory=list)

    def percentile(self, q: float) -> float:
        """Of the latencies, in milliseconds."""
        return float(np.percentile(self.latency_ms, q))


class _Stream:
    """A stream that is opened anew where it breaks; what was on its way has failed then."""

    def __init__(self, server: ServerProcess, payloads: Payloads, counts: Counts, metadata: Metadata) -> None:
        self._address, self._payloads, self._counts, self._metadata = server.address, payloads, counts, metadata
        self._reader: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        return self._stream.waiting

    async def open(self) -> None:
        self._channel = grpc.aio.insecure_channel(self._address, options=OPTIONS)
        self._stream = LoadStream(self._channel, self._payloads, self._counts, self._metadata)
        await self._stream.open()
        self._reader = asyncio.create_task(self._hear())

    async def _hear(self) -> None:
        with contextlib.suppress(grpc.RpcError, ConnectionError, asyncio.InvalidStateError):
            while True:
                await self._stream.hear()

    async def send(self, due: float) -> None:
        """One picture; fails where the stream cannot be had."""
        assert self._reader is not None
        try:
            if self._reader.done():
                await self.anew()
            await self._stream.send(1, due)
        except (grpc.RpcError, ConnectionError, asyncio.InvalidStateError):
            self._counts.failed += 1

    async def anew(self) -> None:
        """What waits has failed."""
        self._counts.failed += self.waiting
        await self.close()
        await self.open()

    async def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        await self._channel.close()


class Honest:
    """Streams that are open as long as the context."""

    def __init__(self, server: ServerProcess, payloads: Payloads, metadata: Metadata) -> None:
        self._server, self._counts = server, Counts()
        self._streams = [_Stream(server, payloads, self._counts, metadata) for _ in range(STREAMS)]

    async def __aenter__(self) -> Honest:
        await asyncio.gather(*(stream.open() for stream in self._streams))
        gc.collect()
        gc.freeze()  # else the time that it takes to look through what is there counts as the server's
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(stream.close() for stream in self._streams))

    async def ask(self, seconds: float) -> Seen:
        """So many seconds of pictures; returns when each is answered, or lost."""
        counts, seen, over = self._counts, Seen(), asyncio.Event()
        before, told = (counts.answered, counts.failed, counts.wrong), len(counts.latency_ms)
        checks = [
            asyncio.create_task(self._check(_healthz, self._server.http_port, HTTP_CHECK_S, over)),
            asyncio.create_task(self._check(_grpc_health, self._server.port, GRPC_CHECK_S, over)),
        ]
        began = time.perf_counter()
        await asyncio.wait(
            [asyncio.create_task(self._send(i, began, seconds)) for i in range(STREAMS)],
            timeout=seconds + PATIENCE_S,
        )
        until = began + seconds + PATIENCE_S
        while any(stream.waiting for stream in self._streams) and time.perf_counter() < until:  # noqa: ASYNC110 (a count, not an event)
            await asyncio.sleep(0.01)
        over.set()
        seen.healthz_s, seen.grpc_health_s = await asyncio.gather(*checks)
        for stream in self._streams:
            if stream.waiting:
                await stream.anew()
        seen.answered, seen.failed, seen.wrong = (
            now - then for now, then in zip((counts.answered, counts.failed, counts.wrong), before, strict=True)
        )
        seen.latency_ms = counts.latency_ms[told:] + [1000 * PATIENCE_S] * seen.failed
        return seen

    async def _send(self, number: int, began: float, seconds: float) -> None:
        for i in range(number, int(RATE * seconds), STREAMS):
            due = began + i / RATE
            await asyncio.sleep(due - time.perf_counter())
            await self._streams[number].send(due)

    async def _check(self, check: Check, port: int, pause: float, over: asyncio.Event) -> list[float]:
        """Seconds that each took."""
        took: list[float] = []
        while not over.is_set():
            began = time.perf_counter()
            try:
                await asyncio.wait_for(check(port), HEALTH_PATIENCE_S)
                took.append(time.perf_counter() - began)
            except (OSError, grpc.RpcError, asyncio.TimeoutError):
                took.append(HEALTH_PATIENCE_S)
            await asyncio.sleep(pause)
        return took


async def _healthz(port: int) -> None:
    reader, writer = await asyncio.open_connection(HOST, port, local_addr=(BALANCER, 0))
    with contextlib.closing(writer):
        writer.write(HEALTHZ)
        status = await reader.readline()
        if b" 200 " not in status:
            raise ConnectionError(f"/healthz says {status!r}")


async def _grpc_health(port: int) -> None:
    async with grpc.aio.insecure_channel(f"{HOST}:{port}", options=OPTIONS) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        await stub.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)
