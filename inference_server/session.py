"""One stream's pictures: which planes are there, what is decoded, what is answered."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import grpc

from inference_server import metrics
from inference_server.batcher import Answer
from inference_server.edges import Edge, Shown
from inference_server.engine import Engine
from inference_server.received import Received
from wire.exceptions import (
    AccessDenied,
    ArtoveqError,
    LevelError,
    PictureError,
    ProtocolError,
    ServerOverloaded,
    ServerUnavailable,
)
from wire.generated import remote_inference_pb2 as pb

OUTBOX_LIMIT = 1024
"""With so many answers unread, no more requests are read: a slow reader slows itself alone."""


class UnknownPicture(ProtocolError):
    """Planes for a picture that was never begun, or is done with."""


CODES: tuple[tuple[type[ArtoveqError], grpc.StatusCode], ...] = (
    (UnknownPicture, grpc.StatusCode.NOT_FOUND),
    (AccessDenied, grpc.StatusCode.UNAUTHENTICATED),
    (ServerOverloaded, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (ServerUnavailable, grpc.StatusCode.UNAVAILABLE),
    (ProtocolError, grpc.StatusCode.INVALID_ARGUMENT),
    (LevelError, grpc.StatusCode.INVALID_ARGUMENT),
    (PictureError, grpc.StatusCode.INVALID_ARGUMENT),
)


def status_of(error: ArtoveqError) -> grpc.StatusCode:
    """The gRPC status that an error is answered with."""
    return next((code for kind, code in CODES if isinstance(error, kind)), grpc.StatusCode.INTERNAL)


@dataclass
class _Picture:
    received: Received
    top_k: int
    shown: Shown
    since: float
    """When its first plane came."""
    closed: bool = False
    """No further plane will come."""


class Session:
    """The pictures of one stream. `handle` takes requests; answers lie in `outbox`, None ends it."""

    def __init__(self, engine: Engine, edge: Edge, caller: str) -> None:
        self._engine, self._edge, self._caller = engine, edge, caller
        self.heard = time.monotonic()
        self._manifest = engine.manifest
        self._pictures: dict[int, _Picture] = {}
        self._highest = 0
        self._received = 0
        self._ended = False
        self.outbox: asyncio.Queue[pb.StreamResponse | None] = asyncio.Queue()
        self.room = asyncio.Event()
        self.room.set()

    def handle(self, request: pb.StreamRequest) -> None:
        """Takes one request after the hello.

        Raises:
            ProtocolError: if the stream as a whole cannot go on.
        """
        self.heard = time.monotonic()
        kind = request.WhichOneof("message")
        if kind == "planes":
            self._received += request.ByteSize()
            metrics.RECEIVED_BYTES.inc(request.ByteSize())
            try:
                self._take(request.planes)
            except ArtoveqError as error:
                self._fail(request.planes.picture_id, error)
        elif kind == "cancel":
            self._forget(request.cancel.picture_id)
        elif kind == "ping":
            self._put(pb.StreamResponse(pong=pb.Pong(id=request.ping.id, **self._clock())))
        elif kind == "report":
            self._edge.report(request.report)
        else:
            raise ProtocolError(f"A {kind or 'message without content'} is not expected here.")

    def input_ended(self) -> None:
        """The edge will send nothing more; what it began and did not complete is forgotten."""
        self._ended = True
        for picture_id, picture in list(self._pictures.items()):
            if not picture.closed:
                self._forget(picture_id)
        self._end_if_done()

    def drain(self) -> None:
        """Ends the stream once its pictures are answered."""
        self._ended = True
        self._end_if_done()

    def close(self) -> None:
        """The stream is gone: nothing of it is decoded any more."""
        for picture_id in list(self._pictures):
            self._forget(picture_id)

    def _clock(self) -> dict[str, int]:
        return {"received_bytes": self._received, "received_us": time.monotonic_ns() // 1000}

    def _take(self, message: pb.Planes) -> None:
        picture = self._pictures.get(message.picture_id) or self._begin(message)
        level, expected = picture.received.level, picture.received.planes + 1
        if message.level != level:
            raise ProtocolError(f"The level changed from {level} to {message.level} within one picture.")
        if picture.closed or message.first_plane != expected:
            due = "no plane" if picture.closed else f"plane {expected}"
            raise ProtocolError(
                f"Plane {message.first_plane} came where {due} was due; send each plane once, in order."
            )
        picture.received = picture.received.add(message.planes, message.coded, self._engine.coder)
        picture.shown.payload_bytes += len(message.planes)
        planes = picture.received.planes
        complete = planes == level
        picture.closed = complete or message.last
        self._put(pb.StreamResponse(receipt=pb.Receipt(picture_id=message.picture_id, planes=planes, **self._clock())))
        if not complete and not self._manifest.prefix_consistent:
            if picture.closed:
                raise ProtocolError(
                    f"This model decodes a picture only when all {level} planes of its level are there."
                )
            return
        self._decode(message.picture_id, picture)

    def _begin(self, message: pb.Planes) -> _Picture:
        if message.picture_id <= self._highest or message.first_plane != 1:
            raise UnknownPicture(
                f"Picture {message.picture_id} was not begun, or is done with; begin a new one with plane 1 "
                "and a higher number."
            )
        self._highest = message.picture_id
        self._engine.refuse_when_draining()
        self._engine.access.spend(self._caller)
        if len(self._pictures) >= self._engine.settings.stream_pictures:
            raise ServerOverloaded(f"{len(self._pictures)} pictures are unfinished on this stream; wait for answers.")
        level = self._manifest.check_level(message.level)
        metrics.LEVEL_SELECTED.labels(level).inc()
        received, shown = Received(level, self._manifest.sub_vectors), Shown(message.picture_id, level)
        picture = _Picture(received, message.top_k, shown, since=self.heard)
        self._pictures[message.picture_id] = picture
        return picture

    def _decode(self, picture_id: int, picture: _Picture) -> None:
        received = picture.received

        def deliver(answer: Answer | ArtoveqError) -> None:
            if self._pictures.get(picture_id) is not picture:
                return  # given up, or failed meanwhile
            if isinstance(answer, ArtoveqError):
                self._fail(picture_id, answer)
                return
            if not picture.shown.answers:
                metrics.FIRST_PREDICTION_SECONDS.observe(time.monotonic() - picture.since)
            final = picture.closed and answer.level == picture.received.planes
            message = self._engine.prediction(answer, picture.top_k, picture_id=picture_id, final=final)
            self._put(pb.StreamResponse(prediction=message))
            self._edge.answered(picture.shown, answer, final=final)
            if final:
                self._forget(picture_id)

        self._engine.batcher.submit((self, picture_id), received.planes, received.indices, deliver)

    def _fail(self, picture_id: int, error: ArtoveqError) -> None:
        code = status_of(error)
        metrics.FAILURES.labels(code.name).inc()
        failure = pb.Failure(picture_id=picture_id, code=code.value[0], message=str(error))
        self._put(pb.StreamResponse(failure=failure))
        self._forget(picture_id)

    def _forget(self, picture_id: int) -> None:
        if self._pictures.pop(picture_id, None) is not None:
            self._engine.batcher.withdraw((self, picture_id))
            self._end_if_done()

    def _end_if_done(self) -> None:
        if self._ended and not self._pictures:
            self.outbox.put_nowait(None)

    def _put(self, response: pb.StreamResponse) -> None:
        self.outbox.put_nowait(response)
        if self.outbox.qsize() >= OUTBOX_LIMIT:
            self.room.clear()
