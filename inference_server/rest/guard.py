"""What every answer over HTTP says to browsers, the names that the server answers to, and whose pages may use it."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inference_server.rest.identity import BEGINNINGS
from inference_server.rest.problems import NAME_UNKNOWN, ORIGIN_UNKNOWN, PATH_UNKNOWN, problem
from inference_server.settings import Settings
from wire.shown import shown

POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
STREAM = "/v1/stream"
"""Where WebSockets are taken."""
COMPUTING = f"{POLICY}; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'"
"""Of the page that runs an encoder, and of the worker that it runs in: compiled WebAssembly, and no other code."""
COMPUTERS = ("/edge", "/edge-worker.js")
LOCAL = (".localhost", ".local", ".internal", ".home.arpa")
"""Ends of names that are not in the public DNS (RFC 6761, 6762, 8375; ICANN's reservation of .internal)."""


class Guard:
    """Refuses names that are not the server's, and adds its headers to every answer."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._listed = app, tuple(name.lower() for name in settings.http_hosts)
        self._origins = settings.http_origins
        self._tls = settings.tls_certificate is not None
        self._headers = {
            "Content-Security-Policy": POLICY,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        if self._tls and settings.hsts_seconds:
            self._headers["Strict-Transport-Security"] = f"max-age={settings.hsts_seconds}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] in BEGINNINGS:
                MutableHeaders(scope=message).update(self._headers)
                if scope["path"] in COMPUTERS:
                    MutableHeaders(scope=message)["Content-Security-Policy"] = COMPUTING
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        sent = Headers(scope=scope)
        name, origin = name_of(sent.get("host", "")), sent.get("origin", "")
        if not answers_to(name, self._listed, tls=self._tls):
            detail = f"This server does not answer to the name {shown(name, 100)!r}; name it in ARTOVEQ_HTTP_HOSTS."
            return problem(NAME_UNKNOWN, detail)
        if scope["type"] == "websocket":
            if scope["path"] != STREAM:
                return problem(PATH_UNKNOWN, f"There is no WebSocket at this path; streams are at {STREAM}.")
            if not may_stream(origin, sent.get("host", ""), self._origins):
                detail = f"Pages of {shown(origin, 100)} may not use this server; name it in ARTOVEQ_HTTP_ORIGINS."
                return problem(ORIGIN_UNKNOWN, detail)
        return None


def name_of(host: str) -> str:
    """The name in a Host header, without its port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).strip("[]").rstrip(".").lower()


def answers_to(name: str, listed: Sequence[str], *, tls: bool) -> bool:
    """Whether a server answers to a name: a page of a stranger whose name leads to our address must not read from us.

    Nobody else owns an address, a name without a dot, or one that is not in the public DNS; and over TLS the
    certificate has the name.
    """
    if name in listed or name in ("", "localhost") or _is_address(name):
        return True
    return not listed and (tls or "." not in name or name.endswith(LOCAL))


def may_stream(origin: str, host: str, listed: Sequence[str]) -> bool:
    """Whether a page of this origin may open a stream to a host: browsers ask no server before they open a WebSocket.

    Who is no browser names no origin.
    """
    return not origin or "*" in listed or origin in listed or origin.partition("://")[2] == host


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
