"""One stream's pictures: which planes are there, what is decoded, what is answered."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, replace

import grpc

from inference_server import metrics
from inference_server.batcher import Answer
from inference_server.edges import Edge, Shown
from inference_server.engine import Engine
from inference_server.received import Received
from wire.bundles import MOST, unbundled
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
from wire.tracing import Trace

log = logging.getLogger(__name__)

FAILURE_LEVELS = {grpc.StatusCode.INVALID_ARGUMENT: logging.DEBUG, grpc.StatusCode.NOT_FOUND: logging.DEBUG}
"""What a caller does wrong fills no log; what the server does is worth a line."""
OUTBOX_LIMIT = 1024
"""With so many answers unread, no more requests are read: a slow reader slows itself alone."""


UNKNOWN = "Picture {} was not begun, or is done with; begin a new one with plane 1 and a higher number."


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
    encoding: asyncio.Task[None] | None = None
    """Where it came as a file."""


class Session:
    """The pictures of one stream. `handle` takes requests; answers lie in `outbox`, None ends it."""

    def __init__(
        self, engine: Engine, edge: Edge, caller: str, request_id: str, trace: Trace, *, bundles: bool
    ) -> None:
        self._engine, self._edge, self._caller, self._bundles = engine, edge, caller, bundles
        self._request_id, self._trace = request_id, trace
        self.heard = time.monotonic()
        self._manifest = engine.manifest
        self._pictures: dict[int, _Picture] = {}
        self._highest = 0
        self._received = 0
        self._ended = False
        self.outbox: asyncio.Queue[pb.StreamResponse | None] = asyncio.Queue()
        self._held: list[pb.StreamResponse] = []
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
            self._count(request)
            self._receipt(request.planes.picture_id, self._tried(request.planes))
        elif kind == "bundle":
            self._count(request)
            for planes in unbundled(request.bundle):
                there = self._tried(planes)
            self._receipt(planes.picture_id, there)
        elif kind == "file":
            self._count(request)
            self._take_file(request.file)
            self._receipt(request.file.picture_id, 0)
        elif kind == "cancel":
            self._forget(request.cancel.picture_id)
        elif kind == "ping":
            if request.ping.padding:
                self._count(request)
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

    def _count(self, request: pb.StreamRequest) -> None:
        self._received += request.ByteSize()
        metrics.RECEIVED_BYTES.inc(request.ByteSize())

    def _receipt(self, picture_id: int, planes: int) -> None:
        """At once, if the edge may have more to send; else together with the answer, at half the messages."""
        response = pb.StreamResponse(receipt=pb.Receipt(picture_id=picture_id, planes=planes, **self._clock()))
        picture = self._pictures.get(picture_id)
        if self._bundles and picture is not None and picture.closed and len(self._held) < MOST:
            self._held.append(response)
        else:
            self._put(response)

    def _clock(self) -> dict[str, int]:
        return {"received_bytes": self._received, "received_us": time.monotonic_ns() // 1000}

    def _tried(self, message: pb.Planes) -> int:
        """Takes planes; returns how many of the picture are there, 0 where it failed."""
        for given_up in message.given_up:
            self._forget(given_up)
        try:
            return self._take(message)
        except ArtoveqError as error:
            self._fail(message.picture_id, error)
            return 0

    def _take(self, message: pb.Planes) -> int:
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
        if complete or self._manifest.prefix_consistent:
            self._decode(message.picture_id, picture)
        elif picture.closed:
            raise ProtocolError(f"This model decodes a picture only when all {level} planes of its level are there.")
        return planes

    def _begin(self, message: pb.Planes) -> _Picture:
        if message.first_plane != 1:
            raise UnknownPicture(UNKNOWN.format(message.picture_id))
        return self._new(message.picture_id, self._manifest.check_level(message.level), message.top_k)

    def _new(self, picture_id: int, level: int, top_k: int) -> _Picture:
        if picture_id <= self._highest:
            raise UnknownPicture(UNKNOWN.format(picture_id))
        self._highest = picture_id
        self._engine.refuse_when_draining()
        self._engine.access.spend(self._caller)
        if len(self._pictures) >= self._engine.settings.stream_pictures:
            raise ServerOverloaded(f"{len(self._pictures)} pictures are unfinished on this stream; wait for answers.")
        metrics.LEVEL_SELECTED.labels(level).inc()
        received, shown = Received(level, self._manifest.sub_vectors), Shown(picture_id, level)
        picture = self._pictures[picture_id] = _Picture(received, top_k, shown, since=self.heard)
        return picture

    def _take_file(self, message: pb.PictureFile) -> None:
        try:
            picture = self._new(message.picture_id, self._manifest.max_level, message.top_k)
        except ArtoveqError as error:
            self._fail(message.picture_id, error)
            return
        picture.closed, picture.shown.payload_bytes = True, len(message.file)
        picture.encoding = asyncio.create_task(self._encode(message.picture_id, picture, message.file))

    async def _encode(self, picture_id: int, picture: _Picture, file: bytes) -> None:
        level = picture.received.level
        try:
            indices = await self._engine.encode(file, level)
            picture.received = replace(picture.received, planes=level, bits=indices)
            self._decode(picture_id, picture)
        except ArtoveqError as error:
            self._fail(picture_id, error)

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
                self._trace.record(
                    "artoveq.picture",
                    time.monotonic() - picture.since,
                    request_id=f"{self._request_id}-{picture_id}",
                    planes=answer.level,
                    queue_ms=1000 * answer.queue,
                    decode_ms=1000 * answer.decode,
                )
                self._forget(picture_id)

        self._engine.batcher.submit(self, picture_id, received.planes, received.indices, deliver)

    def _fail(self, picture_id: int, error: ArtoveqError) -> None:
        code = status_of(error)
        named = {"request_id": f"{self._request_id}-{picture_id}", "caller": self._caller, "code": code.name}
        log.log(FAILURE_LEVELS.get(code, logging.INFO), "A picture failed: %s", error, extra=named)
        metrics.FAILURES.labels(code.name).inc()
        failure = pb.Failure(picture_id=picture_id, code=code.value[0], message=str(error))
        if isinstance(error, ServerOverloaded):
            failure.retry_after_ms = round(1000 * error.retry_after)
        self._put(pb.StreamResponse(failure=failure))
        self._forget(picture_id)

    def _forget(self, picture_id: int) -> None:
        picture = self._pictures.pop(picture_id, None)
        if picture is not None:
            if picture.encoding is not None and picture.encoding is not asyncio.current_task():
                picture.encoding.cancel()
            self._engine.batcher.withdraw(self, picture_id)
            self._end_if_done()

    def _end_if_done(self) -> None:
        if self._ended and not self._pictures:
            self.outbox.put_nowait(None)

    async def next(self) -> pb.StreamResponse | None:
        """What is to be said next, None at the end: one response, or, where that is understood, all that are ready."""
        first = await self.outbox.get()
        if first is None or self.outbox.empty() or not self._bundles:
            return first
        ready = [first]
        while len(ready) < MOST and not self.outbox.empty():
            if (response := self.outbox.get_nowait()) is None:
                self.outbox.put_nowait(None)
                break
            ready.append(response)
        return pb.StreamResponse(bundle=pb.Responses(responses=ready))

    def _put(self, response: pb.StreamResponse) -> None:
        for one in (*self._held, response):  # in the order of what they answer
            self.outbox.put_nowait(one)
        self._held.clear()
        if self.outbox.qsize() >= OUTBOX_LIMIT:
            self.room.clear()
