"""What every answer over HTTP says to browsers, and the names that the server answers to."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inference_server.rest.problems import NAME_UNKNOWN, problem
from inference_server.settings import Settings
from wire.shown import shown

POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
LOCAL = (".localhost", ".local", ".internal", ".home.arpa")
"""Ends of names that are not in the public DNS (RFC 6761, 6762, 8375; ICANN's reservation of .internal)."""


class Guard:
    """Refuses names that are not the server's, and adds its headers to every answer."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._listed = app, tuple(name.lower() for name in settings.http_hosts)
        self._tls = settings.tls_certificate is not None
        self._headers = {
            "Content-Security-Policy": POLICY,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        if self._tls and settings.hsts_seconds:
            self._headers["Strict-Transport-Security"] = f"max-age={settings.hsts_seconds}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        name = name_of(Headers(scope=scope).get("host", ""))
        if answers_to(name, self._listed, tls=self._tls):
            await self._app(scope, receive, guarded)
            return
        detail = f"This server does not answer to the name {shown(name, 100)!r}; name it in ARTOVEQ_HTTP_HOSTS."
        await problem(NAME_UNKNOWN, detail)(scope, receive, guarded)


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


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
