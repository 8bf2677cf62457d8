"""A server's page, as commands ask it."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wire.exceptions import AccessDenied, ServerError, ServerUnavailable, UsageError
from wire.shown import shown, without_secrets

DETAIL_BYTES = 65536
TIMEOUT_S = 10.0
FAULTS = (OSError, http.client.HTTPException, ValueError)
"""What asking for a page may raise."""


def no_page(url: str, error: Exception) -> str:
    """Why nothing came of it, and what to do."""
    reason: object = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(error, http.client.HTTPException) and not isinstance(error, OSError):
        reason = "what listens there speaks no HTTP, as the port of gRPC"
    return (
        f"No page answers at {without_secrets(url)} ({shown(str(reason))}); write http://HOST:8080, or https:// where "
        "the server speaks TLS."
    )


@contextlib.contextmanager
def asked(
    url: str,
    path: str,
    token: str | None,
    ca_file: Path | None,
    *,
    method: str = "GET",
    body: dict[str, Any] | None = None,
    timeout: float = TIMEOUT_S,
) -> Iterator[http.client.HTTPResponse]:
    """The answer to a request, to be read inside.

    Raises:
        UsageError: if the address has a password in it.
        ServerUnavailable: if nobody answers there.
        AccessDenied: if another token is wanted.
        ServerError: if the server refuses otherwise, with its sentence.
    """
    if "@" in urllib.parse.urlsplit(url).netloc:
        raise UsageError(f"{without_secrets(url)} names a user; servers ask for a token: give it with --token.")
    data = None if body is None else json.dumps(body).encode()
    try:
        request = urllib.request.Request(url.rstrip("/") + path, data, method=method)
        if data is not None:
            request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        context = ssl.create_default_context(cafile=ca_file) if url.startswith("https:") else None
        with urllib.request.urlopen(request, timeout=timeout, context=context) as answer:
            yield answer
    except urllib.error.HTTPError as error:
        with error:
            detail = _detail(error)
        raise (AccessDenied if error.code == 401 else ServerError)(f"{url}: {shown(str(detail))}") from error
    except FAULTS as error:
        raise ServerUnavailable(no_page(url, error)) from error


def _detail(error: urllib.error.HTTPError) -> str:
    """The server's sentence; of a proxy, which writes none of ours, the reason."""
    try:
        return str(json.loads(error.read(DETAIL_BYTES))["detail"])
    except (ValueError, KeyError, TypeError):
        return str(error.reason)
