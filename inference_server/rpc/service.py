"""RemoteInferenceService, as proto/artoveq/v1/remote_inference.proto describes it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote

import grpc

from inference_server.access import Caller
from inference_server.access.access import network_of
from inference_server.access.proxies import Proxies, Sender, joined
from inference_server.caller_logs import refusals
from inference_server.deployment import Deployment
from inference_server.greetings import UNREADABLE
from inference_server.idempotency import IdempotencyCache
from inference_server.model import Model
from inference_server.rpc.details import abort
from inference_server.rpc.requests import ReadRequests
from inference_server.streams.accumulator import PlaneAccumulator
from inference_server.streams.runner import FAILURE_LEVELS
from inference_server.streams.status import status_of
from inference_server.streams.streams import Streams
from inference_server.uploads import Upload, UploadTooSlow
from wire.addresses import host_alone
from wire.exceptions import ArtoveqError, ProtocolError
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceServicer
from wire.manifest import MANIFEST
from wire.questions import question_of
from wire.request_ids import request_id_of

CHUNK_BYTES = 64 * 1024
KEY_BYTES = 64
LINGER_S = 2.0
"""How long what a refused caller still sends is passed over."""

if TYPE_CHECKING:  # generic for the type checker alone
    Context = grpc.aio.ServicerContext[Any, Any]
else:
    Context = grpc.aio.ServicerContext


class Service(RemoteInferenceServiceServicer):
    """The calls of a deployment's callers."""

    def __init__(self, deployment: Deployment, streams: Streams, requests: ReadRequests) -> None:
        self._deployment, self._streams, self._requests = deployment, streams, requests
        self._turns = deployment.access.turns
        self._answers: IdempotencyCache[pb.Answer] = IdempotencyCache(
            deployment.settings.remembered_pictures, lambda answer: 1 + answer.ByteSize() // 1024
        )

    async def Stream(
        self, requests: AsyncIterator[pb.StreamRequest | None], context: Context
    ) -> AsyncIterator[pb.StreamResponse]:
        """The first message is read before anybody is refused: a refusal in the midst of its writing would be lost."""
        try:
            first = await self._requests.first(requests, context)
            sender = sender_of(context, self._deployment.proxies)
            caller = self._deployment.access.caller(sender, time.monotonic())
            said = self._streams.responses(first, requests, caller, sender.host, _metadata(context))
            async with contextlib.aclosing(said) as responses:
                async for response in responses:
                    yield response
        except ArtoveqError as error:
            await refuse(context, error)

    async def Predict(self, request: pb.PredictRequest, context: Context) -> pb.PredictResponse:
        try:
            caller = self._caller(context)
            answer = await self._turns.piece(caller.name, self._answered(request, caller))
        except ArtoveqError as error:
            await refuse(context, error)
        return pb.PredictResponse(answer=answer)

    async def _answered(self, request: pb.PredictRequest, caller: Caller) -> pb.Answer:
        model = self._deployment.models.of_fingerprint(request.fingerprint)
        self._deployment.refuse_when_draining()
        if len(request.key) > KEY_BYTES:
            raise ProtocolError(f"A key has at most {KEY_BYTES} bytes, not {len(request.key)}.")
        if not request.key:
            return await self._predict(request, model, caller)
        asked = hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
        make = lambda: self._made(request, model, caller, asked)  # noqa: E731 (a coroutine for each try)
        return await self._answers.get(caller.name, request.key, asked, make)

    async def _made(self, request: pb.PredictRequest, model: Model, caller: Caller, asked: bytes) -> pb.Answer:
        """By this server, or, where several remember together, by another one."""
        shared = self._deployment.shared_answers
        if shared is None:
            return await self._predict(request, model, caller)

        async def make() -> bytes:
            return (await self._predict(request, model, caller)).SerializeToString()

        return pb.Answer.FromString(await shared.get(caller.name, request.key, asked, make))

    async def _predict(self, request: pb.PredictRequest, model: Model, caller: Caller) -> pb.Answer:
        self._deployment.admit(caller)
        arrived = PlaneAccumulator(model.codec, request.point, by_planes=False)
        arrived.add_block(request.data, request.packed)
        decoded = await self._deployment.decode(model, caller, arrived.point, arrived.newest, request.question)
        return model.answer(decoded, request.top_k)

    async def PredictPicture(
        self, requests: AsyncIterator[pb.PredictPictureRequest | None], context: Context
    ) -> pb.PredictPictureResponse:
        try:
            first = await self._requests.first(requests, context)
            caller = self._caller(context)
            answer = await self._turns.piece(caller.name, self._about_picture(first, requests, caller))
        except ArtoveqError as error:
            await _let_finish(requests)
            await refuse(context, error)
        return pb.PredictPictureResponse(answer=answer)

    async def _about_picture(
        self,
        first: pb.PredictPictureRequest | None,
        rest: AsyncIterator[pb.PredictPictureRequest | None],
        caller: Caller,
    ) -> pb.Answer:
        if first is None:
            raise ProtocolError(UNREADABLE)
        model = self._deployment.models.named(first.fingerprint)
        question_of(model.manifest, first.question)  # refused before the rest is read
        self._deployment.admit(caller)
        with self._deployment.uploads.one(caller.name) as upload:
            upload.add(first.picture)
            await self._rest_of(upload, rest)
            indices = await model.encode(caller.name, upload.file(), model.best_point)
        decoded = await self._deployment.decode(model, caller, model.best_point, indices, first.question)
        return model.answer(decoded, first.top_k)

    async def _rest_of(self, upload: Upload, requests: AsyncIterator[pb.PredictPictureRequest | None]) -> None:
        async def read() -> None:
            async for request in requests:
                if request is None:
                    raise ProtocolError(UNREADABLE)
                upload.add(request.picture)

        seconds = self._deployment.settings.upload_seconds
        try:
            await asyncio.wait_for(read(), seconds)
        except asyncio.TimeoutError:
            raise UploadTooSlow(seconds) from None

    async def DescribeModel(self, request: pb.DescribeModelRequest, context: Context) -> pb.DescribeModelResponse:
        try:
            await self._turns.turn(self._caller(context).name)
            model = self._deployment.models.named(request.model)
            manifest = model.edge_file(MANIFEST)
        except ArtoveqError as error:
            await refuse(context, error)
        return pb.DescribeModelResponse(fingerprint=model.manifest.fingerprint, manifest=manifest)

    async def FetchFile(self, request: pb.FetchFileRequest, context: Context) -> AsyncIterator[pb.FetchFileResponse]:
        try:
            caller = self._caller(context)
            model = self._deployment.models.of_fingerprint(request.fingerprint)
            data = model.signature.get(request.name) or model.edge_file(request.name)
        except ArtoveqError as error:
            await refuse(context, error)
        for start in range(0, len(data), CHUNK_BYTES):
            try:
                self._deployment.access.check(caller, time.monotonic())
            except ArtoveqError as error:
                await refuse(context, error)
            yield pb.FetchFileResponse(data=data[start : start + CHUNK_BYTES], file_bytes=0 if start else len(data))

    def _caller(self, context: Context) -> Caller:
        """Who calls.

        Raises:
            AccessDenied: if that is nobody we know.
        """
        return self._deployment.access.caller(sender_of(context, self._deployment.proxies), time.monotonic())


async def _let_finish(requests: AsyncIterator[pb.PredictPictureRequest | None]) -> None:
    """Passes over what a refused caller still sends: a refusal in the midst of its writing would be lost."""

    async def read() -> None:
        async for _ in requests:
            pass

    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(read(), LINGER_S)


def read_requests(deployment: Deployment, services: Sequence[str]) -> ReadRequests:
    """Reads the requests of a deployment's calls; services: those of them that are ours."""
    access, proxies = deployment.access, deployment.proxies
    return ReadRequests(
        services,
        deployment.greetings,
        lambda context: network_of(sender_of(context, proxies).host),
        lambda context: access.wait(sender_of(context, proxies), time.monotonic()),
        host_watches=deployment.settings.host_watches,
    )


def sender_of(context: Context, proxies: Proxies) -> Sender:
    """Whose a call is, by proxies of ours or by itself."""
    sent = _metadata(context)
    return proxies.sender(peer_host(context.peer()), sent, sent.get("authorization"))


def peer_host(peer: str) -> str:
    """The host of a gRPC peer such as "ipv4:10.0.0.7:50123" or "ipv6:%5B::1%5D:50123"."""
    return host_alone(unquote(peer).partition(":")[2].rpartition(":")[0]) or peer


def _metadata(context: Context) -> dict[str, str]:
    return joined((key, value) for key, value in context.invocation_metadata() or () if isinstance(value, str))


async def refuse(context: Context, error: ArtoveqError) -> NoReturn:
    """Ends a call with an error, which is logged."""
    named = {"request_id": request_id_of(_metadata(context)), "peer": peer_host(context.peer())}
    code = status_of(error)
    refusals.log(FAILURE_LEVELS.get(code, logging.INFO), "A call failed: %s", error, extra={**named, "code": code.name})
    await abort(context, error)
