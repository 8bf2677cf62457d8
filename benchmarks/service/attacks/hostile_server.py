"""A server that an edge should not have met: what it serves, it was given; what comes in, it keeps."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from benchmarks.service.attacks.target import HOST
from wire.bundles import unbundled
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import (
    RemoteInferenceServiceServicer,
    add_RemoteInferenceServiceServicer_to_server,
)
from wire.manifest import ENCODER, MANIFEST
from wire.manifest_json import fingerprint_of

CHUNK_BYTES = 2**18


@dataclass(frozen=True)
class Offer:
    """What is served: the manifest as it is sent, and the pieces of each file, with the bytes that are announced.

    fingerprint: what it says of itself.
    """

    fingerprint: str
    manifest: bytes
    files: Mapping[str, tuple[int, Callable[[], Iterable[bytes]]]]

    @classmethod
    def of(cls, values: Mapping[str, Any], encoder: bytes) -> Offer:
        """A manifest with these values that names this encoder rightly."""
        body = {**values, "files": {ENCODER: hashlib.sha256(encoder).hexdigest()}}
        body["fingerprint"] = fingerprint_of(body)
        return cls(body["fingerprint"], json.dumps(body).encode(), {ENCODER: whole(encoder)})


def values_of(model: Path) -> dict[str, Any]:
    """The manifest of a real model with one point alone, its last, and no tables: a block's bytes are its indices."""
    values: dict[str, Any] = json.loads((model / MANIFEST).read_text())
    last = {key: value for key, value in values["points"][-1].items() if key != "coded_bytes"}
    return {**values, "name": "hostile", "points": [last], "planes": [], "codec": []}


def real_offer(model: Path) -> Offer:
    """What the model's own server would serve."""
    manifest = (model / MANIFEST).read_bytes()
    values = json.loads(manifest)
    files = {name: whole((model / name).read_bytes()) for name in values["files"]}
    return Offer(values["fingerprint"], manifest, files)


def whole(data: bytes) -> tuple[int, Callable[[], Iterable[bytes]]]:
    """As FetchFile sends it."""
    return len(data), lambda: (data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES))


@dataclass
class Hostile(RemoteInferenceServiceServicer):
    """refuse: what becomes of a picture, for each in turn; answered once that is used up. arrived: payloads' bytes."""

    offer: Offer
    refuse: list[pb.Failure] = field(default_factory=list)
    arrived: list[bytes] = field(default_factory=list)
    sent_bytes: int = 0
    on_payload: Callable[[], None] = lambda: None

    async def DescribeModel(self, request: pb.DescribeModelRequest, context: Any) -> pb.DescribeModelResponse:
        self.sent_bytes += len(self.offer.manifest)
        return pb.DescribeModelResponse(fingerprint=self.offer.fingerprint, manifest=self.offer.manifest)

    async def FetchFile(self, request: pb.FetchFileRequest, context: Any) -> AsyncIterator[pb.FetchFileResponse]:
        if request.name not in self.offer.files:  # its model is not signed
            await context.abort(grpc.StatusCode.NOT_FOUND, "There is no such file.")
        announced, pieces = self.offer.files[request.name]
        for piece in pieces():
            yield pb.FetchFileResponse(data=piece, file_bytes=announced)
            self.sent_bytes += len(piece)

    async def Stream(self, requests: AsyncIterator[pb.StreamRequest], context: Any) -> AsyncIterator[pb.StreamResponse]:
        async for request in requests:
            kind = request.WhichOneof("message")
            if kind == "hello":
                yield pb.StreamResponse(welcome=pb.Welcome(server_version="1", reads_bundles=True))
            elif kind == "ping":
                yield pb.StreamResponse(pong=pb.Pong(id=request.ping.id))
            elif kind in ("payload", "bundle"):
                for payload in [request.payload] if kind == "payload" else unbundled(request.bundle):
                    yield self._said(payload)

    async def Predict(self, request: pb.PredictRequest, context: Any) -> pb.PredictResponse:
        said = self._said(pb.Payload(picture_id=1, point=request.point, data=request.data))
        if said.HasField("failure"):
            context.set_trailing_metadata((("retry-after-ms", str(said.failure.retry_after_ms)),))
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, said.failure.message)
        return pb.PredictResponse(answer=said.answer)

    def _said(self, payload: pb.Payload) -> pb.StreamResponse:
        self.arrived.append(payload.data)
        self.on_payload()
        if self.refuse:
            failure = self.refuse.pop(0)
            failure.picture_id = payload.picture_id
            return pb.StreamResponse(failure=failure)
        classes = [pb.ClassProbability(index=0, name="nothing", probability=1.0)]
        answer = pb.Answer(picture_id=payload.picture_id, point=payload.point, final=True)
        answer.classification.CopyFrom(pb.Classification(classes=classes))
        return pb.StreamResponse(answer=answer)


@contextlib.asynccontextmanager
async def serving(hostile: Hostile) -> AsyncIterator[str]:
    """On loopback; its address."""
    server = grpc.aio.server()
    add_RemoteInferenceServiceServicer_to_server(hostile, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port(f"{HOST}:0")
    await server.start()
    try:
        yield f"{HOST}:{port}"
    finally:
        await server.stop(0)
