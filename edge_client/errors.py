"""Statuses as sentences. Codes are those of google.rpc.Code."""

from __future__ import annotations

import re

import grpc

from wire.exceptions import (
    AccessDenied,
    ArtoveqError,
    ModelMismatch,
    ProtocolError,
    ServerError,
    ServerOverloaded,
    ServerUnavailable,
)
from wire.shown import shown, without_secrets

CANCELLED, INVALID_ARGUMENT, DEADLINE_EXCEEDED, PERMISSION_DENIED = 1, 3, 4, 7
RESOURCE_EXHAUSTED, FAILED_PRECONDITION, UNAVAILABLE, UNAUTHENTICATED = 8, 9, 14, 16
TOO_LARGE = "larger than max"
"""gRPC itself says so of a message, under the code of a server that is busy."""
LONGEST_RETRY_S = 60.0
"""A server that asks for a longer pause is asked again anyway."""


def translated(error: grpc.RpcError, address: str) -> ArtoveqError:
    """The exception that tells the user what to do about a failed call."""
    if not isinstance(error, grpc.aio.AioRpcError):
        return status_error(None, "", address)
    hint = next((value for key, value in error.trailing_metadata() or () if key == "retry-after-ms"), "")
    milliseconds = int(hint) if re.fullmatch(r"[0-9]{1,18}", str(hint)) else 0
    return status_error(error.code().value[0], error.details() or "", address, milliseconds / 1000)


def status_error(code: int | None, details: str, address: str, retry_after: float = 0.0) -> ArtoveqError:
    """As `translated`, from a code and its details. retry_after: seconds, where the server named them; capped."""
    address, details = without_secrets(address), shown(details)
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
    if code in (UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED):
        return ServerUnavailable(
            f"No server answers at {address} ({details or 'no connection'}); check the address, and that "
            "`artoveq serve` runs there."
        )
    return ServerError(f"{address} failed: {details or f'code {code}'}")
