"""A server's page, as commands ask it."""

from __future__ import annotations

import http.client
import urllib.error

from wire.shown import shown, without_secrets

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
