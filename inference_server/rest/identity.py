"""Who sends an HTTP request: by its `authorization` header; of a page by a cookie, or a WebSocket's subprotocol."""

from __future__ import annotations

import asyncio
import time
from base64 import urlsafe_b64decode
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import Depends
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inference_server.access import Caller
from inference_server.access.proxies import Sender, joined
from inference_server.access.rounds import Rounds
from inference_server.deployment import Deployment
from wire.exceptions import AccessDenied
from wire.request_ids import REQUEST_ID, request_id_of

COOKIE = "artoveq_token"
"""The page's script sets it: a browser's event streams carry no header of ours."""
BEARER = "artoveq.bearer."
"""How the WebSocket subprotocol begins that carries a token, in base64url: a browser's WebSockets carry no header, and
no cookie to other origins."""


async def caller_of(connection: HTTPConnection) -> Caller:
    """Who calls, as `Turns` has found out.

    Raises:
        AccessDenied: if that is nobody we know.
    """
    found: Caller | AccessDenied = connection.state.caller
    if isinstance(found, AccessDenied):
        raise found
    return found


Known = Annotated[Caller, Depends(caller_of)]
"""The caller, in a route that refuses those that are nobody we know."""


def sender_of(deployment: Deployment, connection: HTTPConnection) -> Sender:
    """Whose a request is, by proxies of ours or by itself."""
    peer = connection.client.host if connection.client else ""
    return deployment.proxies.sender(peer, joined(connection.headers.items()), _authorization(connection))


def _authorization(connection: HTTPConnection) -> str | None:
    """The value of an `authorization` header, or what stands for it."""
    if authorization := connection.headers.get("authorization"):
        return authorization
    cookie, offered = connection.cookies.get(COOKIE), connection.scope.get("subprotocols", ())
    tokens = [_decoded(one[len(BEARER) :]) for one in offered if one.startswith(BEARER)]
    tokens += [unquote(cookie)] if cookie else []
    return f"Bearer {tokens[0]}" if tokens else None


def _decoded(token: str) -> str:
    try:
        return urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode(errors="replace")
    except ValueError:  # of another length than base64 has
        return ""


BEGINNINGS = ("http.response.start", "websocket.accept", "websocket.http.response.start")
"""Messages of ASGI that have an answer's headers."""


class Turns:
    """Has requests begin one at a time, in their callers' turns; of those without a token, where tokens are wanted, so
    many a second are heard. `state.caller` is who calls, or why that is nobody; `state.host` where it comes from."""

    def __init__(self, app: ASGIApp, deployment: Deployment) -> None:
        self._app, self._deployment, self._rounds = app, deployment, Rounds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        await self._rounds.next()
        access, sender = self._deployment.access, sender_of(self._deployment, HTTPConnection(scope))
        found: dict[str, Any] = scope.setdefault("state", {})
        found["host"] = sender.host
        try:
            found["caller"] = caller = access.caller(sender, time.monotonic())
        except AccessDenied as error:
            found["caller"] = error
            if wait := access.wait(sender, time.monotonic()):
                await asyncio.sleep(wait)
            await self._app(scope, receive, send)
            return
        if scope["type"] == "websocket":  # what is said on it has turns of its own
            await access.turns.turn(caller.name)
            await self._app(scope, receive, send)
        else:
            await access.turns.piece(caller.name, self._answer(scope, receive, send))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


class RequestIds:
    """Every answer carries a request id: the caller's, or a new one; `request.state.request_id` is the same."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        sent = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        request_id = request_id_of(sent)
        scope.setdefault("state", {})["request_id"] = request_id

        async def named(message: Message) -> None:
            if message["type"] in BEGINNINGS:
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        await self._app(scope, receive, named)
