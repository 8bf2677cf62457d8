"""Who sends an HTTP request: by its `authorization` header, or, for the page, by a cookie."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from urllib.parse import unquote

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inference_server.access import Caller
from inference_server.access.proxies import FORWARDED
from inference_server.deployment import Deployment
from inference_server.rest.rounds import Rounds
from wire.request_ids import REQUEST_ID, request_id_of

COOKIE = "artoveq_token"
"""The page's script sets it: a browser's event streams carry no header of ours."""


def caller_of(deployment: Deployment) -> Callable[[Request], Caller]:
    """A dependency that gives the caller, and refuses those that are nobody we know."""

    def caller(request: Request) -> Caller:
        return deployment.access.caller(*_sent(deployment, request), time.monotonic())

    return caller


def _sent(deployment: Deployment, request: Request) -> tuple[str | None, str]:
    """The value of an `authorization` header, and the host that it comes from."""
    cookie = request.cookies.get(COOKIE)
    authorization = request.headers.get("authorization") or (f"Bearer {unquote(cookie)}" if cookie else None)
    forwarded = ",".join(request.headers.getlist(FORWARDED))
    return authorization, deployment.proxies.host(request.client.host if request.client else "", forwarded)


class Turns:
    """Has requests begin one at a time, and those without a token wait for their turn, where tokens are wanted."""

    def __init__(self, app: ASGIApp, deployment: Deployment) -> None:
        self._app, self._deployment, self._rounds = app, deployment, Rounds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._rounds.next()
            wait = self._deployment.access.wait(*_sent(self._deployment, Request(scope)), time.monotonic())
            if wait:
                await asyncio.sleep(wait)
        await self._app(scope, receive, send)


class RequestIds:
    """Every answer carries a request id: the caller's, or a new one; `request.state.request_id` is the same."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        request_id = request_id_of(sent)
        scope.setdefault("state", {})["request_id"] = request_id

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        await self._app(scope, receive, named)
