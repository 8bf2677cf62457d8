"""Who sends an HTTP request: by its `authorization` header, or, for the page, by a cookie."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote

from fastapi import Request

from inference_server.engine import Engine

COOKIE = "artoveq_token"
"""The page's script sets it: a browser's event streams carry no header of ours."""


def caller_of(engine: Engine) -> Callable[[Request], str]:
    """A dependency that gives the caller's name, and refuses those that are nobody we know."""

    def caller(request: Request) -> str:
        cookie = request.cookies.get(COOKIE)
        sent = request.headers.get("authorization") or (f"Bearer {unquote(cookie)}" if cookie else None)
        return engine.access.caller(sent, request.client.host if request.client else "")

    return caller
