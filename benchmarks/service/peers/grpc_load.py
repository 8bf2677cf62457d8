"""Pictures on the streams of the service itself."""

from __future__ import annotations

import asyncio

from benchmarks.service.load import Counts, Payloads, open_streams
from benchmarks.service.peers.arrivals import Arrivals

IN_FLIGHT = 2
"""Of a stream, at saturation."""


class GrpcLoad:
    """So many streams."""

    def __init__(self, port: int, payloads: Payloads, streams: int) -> None:
        self.counts = Counts()
        self._address, self._payloads, self._count = f"127.0.0.1:{port}", payloads, streams

    async def open(self) -> None:
        self._streams = await open_streams(self._address, self._payloads, self.counts, self._count)

    async def saturate(self, seconds: float) -> None:
        """All streams, for so long."""
        await asyncio.gather(*(stream.saturate(IN_FLIGHT, seconds) for stream in self._streams))

    async def arrive(self, arrivals: Arrivals) -> None:
        """Pictures one by one, on one stream after the other."""
        hearing = [asyncio.create_task(stream.answers(arrivals.ends)) for stream in self._streams]
        number = 0
        async for due in arrivals:
            number += 1
            await self._streams[number % self._count].send(1, due)
        await asyncio.gather(*hearing)

    async def close(self) -> None:
        await asyncio.gather(*(stream.close() for stream in self._streams))
