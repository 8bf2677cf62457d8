"""Many streams to one server, with pictures that were encoded before: what costs time is the server."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from edge_client import Encoder
from wire.artifact import load_artifact
from wire.bundles import bundled
from wire.entropy import write_planes
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceStub
from wire.pictures import read_picture

PICTURES = Path(__file__).parents[2] / "artoveq" / "demo" / "pictures"
CHANNELS = 8
"""Connections that the streams share; gRPC allows about a hundred streams on one."""


@dataclass
class Payloads:
    """Planes of level l, entropy-coded, of crops of the sample pictures."""

    fingerprint: str
    level: int
    planes: Sequence[bytes]

    @classmethod
    def make(cls, model: Path, level: int, count: int = 64) -> Payloads:
        encoder, rng = Encoder(load_artifact(model, edge=True)), np.random.default_rng(0)
        size, planes = encoder.manifest.preprocessing.size, []
        sources = [read_picture(path) for path in sorted(PICTURES.glob("*.png"))]
        for _ in range(count):
            picture = sources[rng.integers(len(sources))]
            top, left = (rng.integers(0, max(1, side - size)) for side in picture.shape[:2])
            indices = encoder.encode(picture[top : top + size, left : left + size], level)
            planes.append(write_planes(encoder.coder, indices, level, 1, level))
        return cls(encoder.manifest.fingerprint, level, planes)

    def message(self, picture_id: int) -> pb.Planes:
        """A whole picture."""
        payload = self.planes[picture_id % len(self.planes)]
        return pb.Planes(picture_id=picture_id, level=self.level, first_plane=1, planes=payload, coded=self.level)


@dataclass
class Counts:
    """What came back."""

    answered: int = 0
    failed: int = 0
    queue_ms: list[float] = field(default_factory=list)


class LoadStream:
    """One stream. Its answers are counted as they come."""

    def __init__(self, channel: grpc.aio.Channel, payloads: Payloads, counts: Counts) -> None:
        self._payloads, self._counts = payloads, counts
        self._ids = itertools.count(1)
        self._call: Any = RemoteInferenceStub(channel).Stream()  # type: ignore[no-untyped-call]
        self.waiting = 0

    async def open(self) -> LoadStream:
        hello = pb.Hello(fingerprint=self._payloads.fingerprint, reads_bundles=True)
        await self._call.write(pb.StreamRequest(hello=hello))
        await self._call.read()
        return self

    async def send(self, pictures: int) -> None:
        """Hands over so many pictures at once."""
        self.waiting += pictures
        for message, _ in bundled([self._payloads.message(next(self._ids)) for _ in range(pictures)]):
            await self._call.write(message)

    async def hear(self) -> int:
        """Waits for the next message; returns how many pictures it answered."""
        message, done = await self._call.read(), 0
        if message is grpc.aio.EOF:
            raise ConnectionError(f"the server ended a stream: {await self._call.details()}")
        for one in message.bundle.responses or (message,):
            if one.HasField("prediction"):
                self._counts.queue_ms.append(one.prediction.queue_us / 1000)
                self._counts.answered += 1
                done += 1
            elif one.HasField("failure"):
                self._counts.failed += 1
                done += 1
        self.waiting -= done
        return done

    async def saturate(self, in_flight: int, seconds: float) -> None:
        """Always so many pictures in flight; then waits for the last answers."""
        until = time.perf_counter() + seconds
        await self.send(in_flight)
        while self.waiting:
            done = await self.hear()
            if done and time.perf_counter() < until:
                await self.send(done)

    async def answers(self, until: float) -> None:
        """Hears the answers to pictures that others send, and, from then on, the last ones."""
        while self.waiting or time.perf_counter() < until:
            if self.waiting:
                await self.hear()
            else:
                await asyncio.sleep(0.005)  # a read that is cancelled would cancel the stream

    async def close(self) -> None:
        """Ends the stream."""
        await self._call.done_writing()
        while await self._call.read() is not grpc.aio.EOF:
            pass


async def open_streams(address: str, payloads: Payloads, counts: Counts, count: int) -> list[LoadStream]:
    """So many streams, over CHANNELS connections or more."""
    options = [("grpc.use_local_subchannel_pool", 1)]  # else channels to one address share a connection
    channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(max(CHANNELS, -(-count // 90)))]
    streams = [LoadStream(channels[i % len(channels)], payloads, counts) for i in range(count)]
    for start in range(0, count, 64):
        await asyncio.gather(*(stream.open() for stream in streams[start : start + 64]))
    return streams
