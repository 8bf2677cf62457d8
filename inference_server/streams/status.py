"""The status that each error is answered with."""

from __future__ import annotations

import grpc

from wire.exceptions import (
    AccessDenied,
    ArtoveqError,
    ModelMismatch,
    PictureError,
    PictureNotKept,
    PointError,
    ProtocolError,
    QuestionError,
    ServerOverloaded,
    ServerUnavailable,
)

STOPPING = "The server is stopping and takes no new work; try another one."


class UnknownPicture(ProtocolError):
    """A payload for a picture that was never begun, or is done with."""


class UnknownFile(ProtocolError):
    """A file that the model does not have, or that is not for edges."""


CODES: tuple[tuple[type[ArtoveqError], grpc.StatusCode], ...] = (
    (UnknownPicture, grpc.StatusCode.NOT_FOUND),
    (UnknownFile, grpc.StatusCode.NOT_FOUND),
    (PictureNotKept, grpc.StatusCode.NOT_FOUND),
    (AccessDenied, grpc.StatusCode.UNAUTHENTICATED),
    (ModelMismatch, grpc.StatusCode.FAILED_PRECONDITION),
    (ServerOverloaded, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (ServerUnavailable, grpc.StatusCode.UNAVAILABLE),
    (ProtocolError, grpc.StatusCode.INVALID_ARGUMENT),
    (PointError, grpc.StatusCode.INVALID_ARGUMENT),
    (PictureError, grpc.StatusCode.INVALID_ARGUMENT),
    (QuestionError, grpc.StatusCode.INVALID_ARGUMENT),
)


def status_of(error: ArtoveqError) -> grpc.StatusCode:
    """The gRPC status that an error is answered with."""
    return next((code for kind, code in CODES if isinstance(error, kind)), grpc.StatusCode.INTERNAL)
