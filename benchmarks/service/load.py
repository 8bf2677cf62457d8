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
from edge_client.transport.base import Metadata
from edge_client.transport.security import OPTIONS
from inference_server.decoder import OnnxDecoder
from wire.artifact import load_artifact
from wire.bundles import bundled
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub
from wire.manifest import Manifest
from wire.payload import Indices, PayloadCodec
from wire.pictures import Picture, read_picture
from wire.tasks import Output

PICTURES = Path(__file__).parents[2] / "artoveq" / "demo" / "pictures"
CLOSE = 1e-3
CHANNELS = 8
"""Connections that the streams share; gRPC allows about a hundred streams on one."""


def sample_crops(size: int, count: int) -> list[Picture]:
    """Different squares out of the sample pictures."""
    rng, crops = np.random.default_rng(0), []
    sources = [read_picture(path) for path in sorted(PICTURES.glob("*.png"))]
    for _ in range(count):
        picture = sources[rng.integers(len(sources))]
        top, left = (rng.integers(0, max(1, side - size)) for side in picture.shape[:2])
        crops.append(np.ascontiguousarray(picture[top : top + size, left : left + size]))
    return crops


def decoded(decoder: OnnxDecoder, manifest: Manifest, indices: Indices, point: int) -> Output:
    """Answers (B, …) to pictures with these indices (B, M), all of one point."""
    count, sizes = len(indices), np.array(manifest.point(point).sizes, np.int32)
    return decoder.decode(indices, np.tile(sizes, (count, 1)), np.full(count, point))


@dataclass
class Payloads:
    """Blocks of a level's point, entropy-coded or packed, of crops of the sample pictures; indices are in them."""

    fingerprint: str
    point: int
    blocks: Sequence[tuple[bytes, bool]]
    indices: Indices
    answers: list[tuple[int, float]] = field(default_factory=list)

    @classmethod
    def make(cls, model: Path, level: int, count: int = 64, *, packed: bool = False) -> Payloads:
        encoder = Encoder(load_artifact(model, edge=True))
        manifest = encoder.manifest
        codec = PayloadCodec(manifest) if packed else encoder.codec
        point = manifest.point_of_level(level)
        indices = encoder.encode_batch(np.stack(sample_crops(manifest.preprocessing.size, count)), point)
        return cls(manifest.fingerprint, point, [codec.write_block(one, point) for one in indices], indices)

    def message(self, picture_id: int) -> pb.Payload:
        """A whole picture."""
        data, packed = self.blocks[picture_id % len(self.blocks)]
        return pb.Payload(picture_id=picture_id, point=self.point, data=data, packed=packed)

    def expect(self, model: Path) -> None:
        """Learns the right answers: from now on `is_answer` knows them."""
        artifact = load_artifact(model)
        answers = decoded(OnnxDecoder(artifact, threads=1), artifact.manifest, self.indices, self.point)
        self.answers = [(int(row.argmax()), float(row.max())) for row in answers]

    def is_answer(self, answer: pb.Answer) -> bool:
        """Whether it is the one to this picture; True where nothing is known of that."""
        if not self.answers:
            return True
        index, probability = self.answers[answer.picture_id % len(self.answers)]
        best = answer.classification.classes[0]
        return best.index == index and abs(best.probability - probability) < CLOSE


@dataclass
class Counts:
    """What came back. wrong: another picture's answer, or a second one for a picture.

    latency_ms: from when a picture was due to its answer.
    """

    answered: int = 0
    failed: int = 0
    wrong: int = 0
    queue_ms: list[float] = field(default_factory=list)
    latency_ms: list[float] = field(default_factory=list)


class LoadStream:
    """One stream. Its answers are counted as they come."""

    def __init__(self, channel: grpc.aio.Channel, payloads: Payloads, counts: Counts, metadata: Metadata = ()) -> None:
        self._payloads, self._counts, self._metadata = payloads, counts, metadata
        self._ids = itertools.count(1)
        self._stub = RemoteInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        self._due: dict[int, float] = {}

    @property
    def waiting(self) -> int:
        """Pictures that are not answered yet."""
        return len(self._due)

    async def open(self) -> LoadStream:
        self._call: Any = self._stub.Stream(metadata=self._metadata)
        hello = pb.Hello(fingerprint=self._payloads.fingerprint, reads_bundles=True)
        await self._call.write(pb.StreamRequest(hello=hello))
        await self._call.read()
        return self

    async def send(self, pictures: int, due: float | None = None) -> None:
        """Hands over so many pictures at once. due: of `time.perf_counter`, now if left out."""
        payloads = [self._payloads.message(next(self._ids)) for _ in range(pictures)]
        self._due.update(dict.fromkeys((one.picture_id for one in payloads), due or time.perf_counter()))
        for message, _ in bundled(payloads):
            await self._call.write(message)

    async def hear(self) -> int:
        """Waits for the next message; returns how many pictures it answered."""
        message, done = await self._call.read(), 0
        if message is grpc.aio.EOF:
            raise ConnectionError(f"the server ended a stream: {await self._call.details()}")
        for one in message.bundle.responses or (message,):
            if one.HasField("answer"):
                done += self._answered(one.answer)
            elif one.HasField("failure"):
                self._due.pop(one.failure.picture_id, None)
                self._counts.failed += 1
                done += 1
        return done

    async def answered(self) -> None:
        """Waits until nothing is."""
        while self.waiting:
            await self.hear()

    def _answered(self, answer: pb.Answer) -> int:
        due = self._due.pop(answer.picture_id, None)
        self._counts.wrong += not (due is not None and self._payloads.is_answer(answer))
        if due is not None:
            self._counts.latency_ms.append(1000 * (time.perf_counter() - due))
        self._counts.queue_ms.append(answer.queue_us / 1000)
        self._counts.answered += 1
        return int(due is not None)

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

    def hang_up(self) -> None:
        """Is gone, without a word."""
        self._call.cancel()

    async def close(self) -> None:
        """Ends the stream; what is answered after the last answer is one too many."""
        await self._call.done_writing()
        while (message := await self._call.read()) is not grpc.aio.EOF:
            for one in message.bundle.responses or (message,):
                self._counts.wrong += one.HasField("answer")


async def open_streams(address: str, payloads: Payloads, counts: Counts, count: int) -> list[LoadStream]:
    """So many streams, over CHANNELS connections or more."""
    options = [*OPTIONS, ("grpc.use_local_subchannel_pool", 1)]  # else channels to one address share a connection
    channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(max(CHANNELS, -(-count // 90)))]
    streams = [LoadStream(channels[i % len(channels)], payloads, counts) for i in range(count)]
    for start in range(0, count, 64):
        await asyncio.gather(*(stream.open() for stream in streams[start : start + 64]))
    return streams
