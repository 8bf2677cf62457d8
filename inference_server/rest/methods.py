"""HEAD and OPTIONS of every path, and which methods a path takes (RFC 9110, 9.3)."""

from __future__ import annotations

import asyncio
import contextlib

from fastapi import FastAPI
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send


def allowed(api: FastAPI, path: str) -> str:
    """The methods of a path, as `Allow` has them; what the document does not describe are files, and the like."""
    methods = {method.upper() for method in api.openapi()["paths"].get(path, ("get",))}
    return ", ".join(sorted({*methods, "OPTIONS"} | ({"HEAD"} if "GET" in methods else set())))


class Methods:
    """Answers OPTIONS itself, and HEAD as GET without what follows the headers."""

    def __init__(self, app: ASGIApp, api: FastAPI) -> None:
        self._app, self._api = app, api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope.get("method")
        if method == "OPTIONS":
            await Response(status_code=204, headers={"Allow": allowed(self._api, scope["path"])})(scope, receive, send)
        elif method == "HEAD":
            await self._head({**scope, "method": "GET"}, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What streams is cut off behind its headers: it may have no end."""
        begun = asyncio.Event()

        async def headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b""})
                begun.set()

        answering = asyncio.ensure_future(self._app(scope, receive, headers))
        going = asyncio.create_task(begun.wait())
        await asyncio.wait({answering, going}, return_when=asyncio.FIRST_COMPLETED)
        going.cancel()
        answering.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await answering
