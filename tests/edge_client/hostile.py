"""A gRPC server that means harm: it serves whatever it was given, and keeps every byte that an edge sends."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc

from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import (
    RemoteInferenceServiceServicer,
    add_RemoteInferenceServiceServicer_to_server,
)

Chunks = Callable[[], Iterable[pb.FetchFileResponse]]


@dataclass
class Hostile(RemoteInferenceServiceServicer):
    """manifest: what DescribeModel says. files: what FetchFile sends, by name. respond: to a payload, on a stream."""

    manifest: bytes
    files: dict[str, Chunks]
    respond: Callable[[pb.Payload], pb.StreamResponse] = lambda payload: pb.StreamResponse()
    sent: int = 0
    """Bytes of files that have left."""
    received: list[bytes] = field(default_factory=list)
    """What edges have said on streams."""

    def DescribeModel(self, request: pb.DescribeModelRequest, context: Any) -> pb.DescribeModelResponse:
        return pb.DescribeModelResponse(manifest=self.manifest)

    def FetchFile(self, request: pb.FetchFileRequest, context: Any) -> Iterator[pb.FetchFileResponse]:
        if request.name not in self.files:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such file")
        for chunk in self.files[request.name]():
            self.sent += len(chunk.data)
            yield chunk

    def Stream(self, requests: Iterator[pb.StreamRequest], context: Any) -> Iterator[pb.StreamResponse]:
        for request in requests:
            self.received.append(request.SerializeToString())
            kind = request.WhichOneof("message")
            if kind == "hello":
                yield pb.StreamResponse(welcome=pb.Welcome(reads_coded=True))
            elif kind == "ping":
                yield pb.StreamResponse(pong=pb.Pong(id=request.ping.id))
            elif kind == "payload":
                yield self.respond(request.payload)

    def Predict(self, request: pb.PredictRequest, context: Any) -> pb.PredictResponse:
        context.set_trailing_metadata((("retry-after-ms", "9" * 18),))
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy")


@contextlib.contextmanager
def serving(hostile: Hostile) -> Iterator[str]:
    """Its address, while it serves."""
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_send_message_length", -1)])
    add_RemoteInferenceServiceServicer_to_server(hostile, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def whole(data: bytes) -> Chunks:
    """A file as an honest server sends it."""
    return lambda: [pb.FetchFileResponse(data=data, file_bytes=len(data))]
