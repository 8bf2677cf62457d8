"""One replica: all of a server but its ports, which are those of the engine that runs it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import grpc
from fastapi import FastAPI

from inference_server.access.contents import READ_AGAIN_S
from inference_server.deployment import Deployment
from inference_server.management import Management
from inference_server.ray_serve.autoscaling import DecoderLoad
from inference_server.rest.app import build_app
from inference_server.rpc.service import Service, read_requests
from inference_server.settings import Settings
from inference_server.streams.streams import Streams
from wire.exceptions import SettingsError
from wire.generated import remote_inference_pb2 as pb

log = logging.getLogger(__name__)

EMPTY = {
    "Predict": pb.PredictResponse,
    "PredictPicture": pb.PredictPictureResponse,
    "DescribeModel": pb.DescribeModelResponse,
}
"""What goes with the status of a call that failed, since the engine sends some message; a client sees the status."""


def check_settings(settings: Settings) -> None:
    """Raises SettingsError where they ask for what an engine's ports, or one replica of many, cannot give."""
    if settings.tls_certificate is not None:
        raise SettingsError(
            "Ray Serve's ports speak no TLS; leave ARTOVEQ_TLS_… out, and end TLS in a proxy before them."
        )
    for name in ("admin_tokens_file", "models"):
        if getattr(settings, name):
            raise SettingsError(
                "On Ray Serve all replicas have the models of --model, which another deployment changes; leave "
                f"ARTOVEQ_{name.upper()} out."
            )


class CallEnded(Exception):
    """A call is over; its context has the status."""


class Call:
    """What the service asks of gRPC's context, on the engine's own, which has no `abort`."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def peer(self) -> str:
        return str(self._context.peer())

    def invocation_metadata(self) -> Any:
        return self._context.invocation_metadata()

    def set_trailing_metadata(self, sent: Any) -> None:
        self._context.set_trailing_metadata(list(sent))

    async def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        self._context.set_code(code)
        self._context.set_details(details)
        raise CallEnded


class Replica:
    """Use from one event loop only, on which it is made."""

    def __init__(self, settings: Settings) -> None:
        check_settings(settings)
        self._settings = settings
        self.deployment = Deployment(settings)
        self.streams = Streams(self.deployment)
        self._service = Service(self.deployment, self.streams, read_requests(self.deployment, ()))
        self._load = DecoderLoad(time.monotonic())

    def app(self) -> FastAPI:
        """REST and the page."""
        return build_app(self.deployment, self.streams, Management(self.deployment, self.streams, time.monotonic()))

    def load(self) -> dict[str, float]:
        """How long pictures have queued, and how busy the decoder was, since this was asked before."""
        return self._load.report(time.monotonic())

    async def answer(self, method: str, request: Any, context: Any) -> Any:
        """A call with one response. request: a message, or what iterates over them."""
        try:
            return await getattr(self._service, method)(request, Call(context))
        except CallEnded:
            return EMPTY[method]()

    async def responses(self, method: str, request: Any, context: Any) -> AsyncGenerator[Any, None]:
        """A call with several."""
        try:
            said: AsyncIterator[Any] = getattr(self._service, method)(request, Call(context))
            async for response in said:
                yield response
        except CallEnded:
            return

    async def watch(self, stopping: Callable[[], Awaitable[bool]]) -> None:
        """Looks at tokens now and then, and whether the engine stops this replica; then it drains."""
        while True:
            await asyncio.sleep(READ_AGAIN_S)
            try:
                self.streams.end_revoked()
                if await stopping():
                    break
            except Exception:  # the engine may be starting anew; what it says next is still heard
                log.exception("Whether this replica is to stop could not be asked.")
        await self.drain()

    async def drain(self) -> None:
        """Tells edges to move, once the engine leads new streams elsewhere; ends each stream when it is answered."""
        self.deployment.leaving = True
        await asyncio.sleep(self._settings.drain_notice_seconds)
        self.deployment.draining = True
        self.streams.drain()
