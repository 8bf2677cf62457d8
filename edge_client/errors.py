"""Statuses as sentences. Codes are those of google.rpc.Code."""

from __future__ import annotations

import re

import grpc

from wire.exceptions import (
    PICTURE_NOT_KEPT,
    AccessDenied,
    ArtoveqError,
    ModelMismatch,
    PictureNotKept,
    ProtocolError,
    ServerError,
    ServerOverloaded,
    ServerUnavailable,
)
from wire.shown import shown, without_secrets

CANCELLED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, PERMISSION_DENIED = 1, 2, 3, 4, 7
RESOURCE_EXHAUSTED, FAILED_PRECONDITION, INTERNAL, UNAVAILABLE, UNAUTHENTICATED = 8, 9, 13, 14, 16
NO_CONNECTION = ("failed to connect", "errors resolving")
HTTP_PORT = "{0} is a port of HTTP, not of gRPC; `artoveq serve` says both when it starts."
CAUSES = (
    (r"http1\.x|missing selected ALPN", HTTP_PORT),
    ("WRONG_VERSION_NUMBER", "{0} does not speak TLS; come without, or give the server a certificate."),
    ("has expired|not yet valid", "The certificate of {0} is not valid today; renew it, or set this machine's clock."),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "The certificate of {0} comes from nobody who is trusted here; name its authority's file (--ca-file).",
    ),
    ("Hostname Verification", "The certificate of {0} is for another name; ask for the server by the one that it has."),
    ("hostname lookup error", "There is no host of the name in {0}; check the address."),
    ("No route|unreachable", "No way leads to {0} from here; check the address, and this machine's network."),
    ("refused", "No server answers at {0}: nobody listens there; check host and port, and that `artoveq serve` runs."),
    (
        "Socket closed|reset by peer",
        "{0} hangs up at once: the way to it broke, it speaks TLS alone (--tls), or it wants this edge's certificate "
        "(--certificate).",
    ),
)
"""What gRPC says of a connection that did not come about, and what there is to be done; {0} is the address."""
TOO_LARGE = "larger than max"
"""gRPC itself says so of a message, under the code of a server that is busy."""
RESET = "RST_STREAM"
"""gRPC itself says so, under a code of no meaning, where a proxy on the way has lost its server."""
LONGEST_RETRY_S = 60.0
"""A server that asks for a longer pause is asked again anyway."""


def translated(error: grpc.RpcError, address: str) -> ArtoveqError:
    """The exception that tells the user what to do about a failed call."""
    if not isinstance(error, grpc.aio.AioRpcError):
        return status_error(None, "", address)
    hint = next((value for key, value in error.trailing_metadata() or () if key == "retry-after-ms"), "")
    milliseconds = int(hint) if re.fullmatch(r"[0-9]{1,18}", str(hint)) else 0
    return status_error(error.code().value[0], error.details() or "", address, milliseconds / 1000)


def _cause(details: str, address: str) -> str:
    """Why nobody answers, in a sentence."""
    if details.startswith(NO_CONNECTION):
        if ":" not in address or address.endswith("]"):
            return (
                f"No server answers at {address}: it names no port; write {address}:50051, if the server has that one."
            )
        for said, sentence in CAUSES:
            if re.search(said, details):
                return sentence.format(address)
    return (
        f"No server answers at {address} ({details or 'no connection'}); check that `artoveq serve` runs there, "
        "and has this port for gRPC."
    )


def status_error(
    code: int | None, details: str, address: str, retry_after: float = 0.0, reason: str = ""
) -> ArtoveqError:
    """As `translated`, from a code and its details. retry_after: seconds, where the server named them; capped.

    reason: of a `Failure`.
    """
    address, details = without_secrets(address), shown(details)
    if reason == PICTURE_NOT_KEPT:
        return PictureNotKept(f"{address}: {details}")
    if code == FAILED_PRECONDITION:
        return ModelMismatch(f"{address}: {details}")
    if code in (UNAUTHENTICATED, PERMISSION_DENIED):
        return AccessDenied(f"{address}: {details}")
    if code == RESOURCE_EXHAUSTED and TOO_LARGE in details:
        ours = details.startswith("SERVER")  # which half has refused it
        return ProtocolError(
            f"A message is too large for {address}; send smaller pictures: {details}"
            if ours
            else f"{address} sent a message that is too large to be read: {details}"
        )
    if code == RESOURCE_EXHAUSTED:
        return ServerOverloaded(f"{address} is busy: {details}", min(retry_after, LONGEST_RETRY_S))
    if code == INVALID_ARGUMENT:
        return ProtocolError(details)
    if code in (UNKNOWN, INTERNAL) and RESET in details:
        code, details = UNAVAILABLE, "the connection broke"
    if code in (UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED):
        return ServerUnavailable(_cause(details, address))
    return ServerError(f"{address} failed: {details or f'code {code}'}")
