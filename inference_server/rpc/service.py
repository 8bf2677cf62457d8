"""The gRPC service: a thin shell around sessions and the engine."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, NoReturn

import grpc

from inference_server import metrics
from inference_server.access import host_of
from inference_server.engine import Engine
from inference_server.malformed import SENTENCE
from inference_server.once import Once
from inference_server.received import Received
from inference_server.session import FAILURE_LEVELS, OUTBOX_LIMIT, Session, status_of
from wire.artifact import MANIFEST
from wire.exceptions import AccessDenied, ArtoveqError, ProtocolError, ServerOverloaded, ServerUnavailable
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServicer
from wire.tracing import Trace, request_id_of

log = logging.getLogger(__name__)

CHUNK_BYTES = 256 * 1024
KEY_BYTES = 64
VERSION = "1"

if TYPE_CHECKING:  # generic for the type checker alone
    Context = grpc.aio.ServicerContext[Any, Any]
else:
    Context = grpc.aio.ServicerContext


class Service(RemoteInferenceServicer):
    """RemoteInference, as proto/artoveq/v1/remote_inference.proto describes it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sessions: set[Session] = set()
        self._once: Once[pb.Prediction] = Once(engine.settings.remembered_pictures)

    def drain(self) -> None:
        """Ends every stream once its pictures are answered; new streams are refused."""
        for session in self._sessions:
            session.drain()

    async def Stream(
        self, requests: AsyncIterator[pb.StreamRequest | None], context: Context
    ) -> AsyncIterator[pb.StreamResponse]:
        hello, caller = await self._greet(requests, context)
        try:
            self._engine.access.begin_stream(caller)
        except ServerOverloaded as full:
            await _abort(context, full)
        edge, sent = self._engine.edges.join(hello.name, context.peer()), _metadata(context)
        named = {"request_id": request_id_of(sent), "caller": caller, "edge": edge.name}
        trace = Trace("artoveq.serve_stream", named["request_id"], sent)
        log.debug("A stream begins.", extra=named)
        session = Session(self._engine, edge, caller, named["request_id"], trace, bundles=hello.reads_bundles)
        self._sessions.add(session)
        metrics.STREAMS.inc()
        reader = asyncio.create_task(_read(requests, session))
        watchdog = asyncio.create_task(_end_when_idle(session, self._engine.settings.idle_seconds))
        try:
            yield pb.StreamResponse(
                welcome=pb.Welcome(
                    server_version=VERSION, reads_coded_planes=self._engine.coder is not None, reads_bundles=True
                )
            )
            while (response := await session.next()) is not None:
                yield response
                if session.outbox.qsize() < OUTBOX_LIMIT // 2:
                    session.room.set()
            if reader.done() and (error := reader.exception()) is not None:
                if not isinstance(error, ArtoveqError):
                    raise error
                await _abort(context, error)
            if self._engine.draining:
                await _abort(context, ServerUnavailable("The server is stopping."))
        finally:
            reader.cancel()
            watchdog.cancel()
            self._sessions.discard(session)
            session.close()
            trace.end()
            log.debug("A stream ended after %d pictures.", edge.pictures, extra={**named, "pictures": edge.pictures})
            self._engine.edges.leave(edge)
            self._engine.access.end_stream(caller)
            metrics.STREAMS.dec()

    async def _greet(self, requests: AsyncIterator[pb.StreamRequest | None], context: Context) -> tuple[pb.Hello, str]:
        """The first message is read before anybody is refused: a refusal in the midst of its writing would be lost."""
        first = None
        with contextlib.suppress(asyncio.TimeoutError):
            first = await asyncio.wait_for(anext(aiter(requests), None), self._engine.settings.idle_seconds)
        caller = await self._caller(context)
        if first is None or first.WhichOneof("message") != "hello":
            await _abort(context, ProtocolError("The first message of a stream must be `hello`."))
        await self._check_fingerprint(first.hello.fingerprint, context)
        await self._check_draining(context)
        return first.hello, caller

    async def Predict(self, request: pb.PredictRequest, context: Context) -> pb.Prediction:
        caller = await self._caller(context)
        await self._check_fingerprint(request.fingerprint, context)
        await self._check_draining(context)
        if len(request.key) > KEY_BYTES:
            await _abort(context, ProtocolError(f"A key has at most {KEY_BYTES} bytes, not {len(request.key)}."))
        try:
            if not request.key:
                return await self._predict(request, caller)
            return await self._once.get((caller, request.key), lambda: self._predict(request, caller))
        except ArtoveqError as error:
            await _abort(context, error)

    async def _predict(self, request: pb.PredictRequest, caller: str) -> pb.Prediction:
        self._engine.access.spend(caller)
        level = self._engine.manifest.check_level(request.level)
        begun = Received(level, self._engine.manifest.sub_vectors)
        received = begun.add(request.planes, level if request.coded else 0, self._engine.coder)
        if received.planes != level:
            raise ProtocolError(f"Level {level} takes {level} planes, not {received.planes}.")
        answer = await self._engine.batcher.predict(caller, level, received.indices)
        return self._engine.prediction(answer, request.top_k)

    async def PredictPicture(self, request: pb.PredictPictureRequest, context: Context) -> pb.Prediction:
        caller = await self._caller(context)
        try:
            self._engine.access.spend(caller)
            level = self._engine.manifest.max_level
            indices = await self._engine.encode(request.picture, level)
            answer = await self._engine.batcher.predict(caller, level, indices)
        except ArtoveqError as error:
            await _abort(context, error)
        return self._engine.prediction(answer, request.top_k)

    async def DescribeModel(self, request: pb.DescribeModelRequest, context: Context) -> pb.ModelDescription:
        await self._caller(context)
        manifest = self._engine.artifact.path(MANIFEST).read_bytes()
        return pb.ModelDescription(fingerprint=self._engine.manifest.fingerprint, manifest=manifest)

    async def FetchFile(self, request: pb.FetchFileRequest, context: Context) -> AsyncIterator[pb.FileChunk]:
        await self._caller(context)
        await self._check_fingerprint(request.fingerprint, context)
        if request.name not in self._engine.manifest.edge_files:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"There is no file {request.name!r} to fetch.")
        data = self._engine.artifact.path(request.name).read_bytes()
        for start in range(0, len(data), CHUNK_BYTES):
            yield pb.FileChunk(data=data[start : start + CHUNK_BYTES])

    async def _caller(self, context: Context) -> str:
        """Who calls; ends the call where that is nobody we know."""
        try:
            return self._engine.access.caller(_metadata(context).get("authorization"), host_of(context.peer()))
        except AccessDenied as error:
            await _abort(context, error)

    async def _check_fingerprint(self, fingerprint: str, context: Context) -> None:
        ours = self._engine.manifest
        if fingerprint != ours.fingerprint:
            await context.abort(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"The edge has the model {fingerprint[:12] or '(none)'}, the server has {ours.fingerprint[:12]} "
                f"({ours.name}); start both with the same model, or let the edge fetch it.",
            )

    async def _check_draining(self, context: Context) -> None:
        try:
            self._engine.refuse_when_draining()
        except ServerUnavailable as error:
            await _abort(context, error)


async def _read(requests: AsyncIterator[pb.StreamRequest | None], session: Session) -> None:
    try:
        async for request in requests:
            if request is None:
                raise ProtocolError(SENTENCE)
            session.handle(request)
            await session.room.wait()
    except Exception:  # whatever it was, `Stream` ends the call with it
        session.outbox.put_nowait(None)
        raise
    session.input_ended()


async def _end_when_idle(session: Session, seconds: float) -> None:
    """Ends a stream on which nothing has been said for so long; its pictures are answered."""
    while (left := session.heard + seconds - time.monotonic()) > 0:  # noqa: ASYNC110 (each message moves the time)
        await asyncio.sleep(left)
    session.drain()


def _metadata(context: Context) -> dict[str, str]:
    return {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}


async def _abort(context: Context, error: ArtoveqError) -> NoReturn:
    if isinstance(error, ServerOverloaded):
        context.set_trailing_metadata((("retry-after-ms", str(round(1000 * error.retry_after))),))
    named = {"request_id": request_id_of(_metadata(context)), "peer": host_of(context.peer())}
    code = status_of(error)
    log.log(FAILURE_LEVELS.get(code, logging.INFO), "A call failed: %s", error, extra={**named, "code": code.name})
    await context.abort(code, str(error))
    raise AssertionError("abort does not return")
