"""gRPC statuses as sentences."""

from __future__ import annotations

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


def translated(error: grpc.RpcError, address: str) -> ArtoveqError:
    """The exception that tells the user what to do about a failed call."""
    code = error.code() if isinstance(error, grpc.aio.AioRpcError) else None
    return status_error(code, (error.details() if isinstance(error, grpc.aio.AioRpcError) else None) or "", address)


def status_error(code: grpc.StatusCode | None, details: str, address: str) -> ArtoveqError:
    """As `translated`, from a code and its details."""
    if code == grpc.StatusCode.FAILED_PRECONDITION:
        return ModelMismatch(f"{address}: {details}")
    if code == grpc.StatusCode.UNAUTHENTICATED:
        return AccessDenied(f"{address}: {details}")
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
        return ServerOverloaded(f"{address} is busy: {details}")
    if code == grpc.StatusCode.INVALID_ARGUMENT:
        return ProtocolError(details)
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED):
        return ServerUnavailable(
            f"No server answers at {address} ({details or 'no connection'}); check the address, and that "
            "`artoveq serve` runs there."
        )
    return ServerError(f"{address} failed: {details or code}")
