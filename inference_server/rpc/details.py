"""Errors as google.rpc.Status: beside code and sentence, what a program can act on."""

from __future__ import annotations

from typing import Any, NoReturn

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status

from inference_server.streams.status import status_of
from wire.exceptions import ArtoveqError, PictureError, PointError, ProtocolError, QuestionError, ServerOverloaded
from wire.shown import shown

STATUS = "grpc-status-details-bin"
"""Trailing metadata; the name is gRPC's."""
RETRY_AFTER = "retry-after-ms"
"""The same as in `RetryInfo`, for who reads no details."""
FIELDS: tuple[tuple[type[ArtoveqError], str], ...] = (
    (PointError, "point"),
    (PictureError, "picture"),
    (QuestionError, "question"),
    (ProtocolError, ""),
)
"""Which field of a request is at fault; empty: the request as a whole."""


def details_of(error: ArtoveqError) -> list[Message]:
    """When to try again, or what is wrong with the request; nothing of other errors."""
    if isinstance(error, ServerOverloaded):
        delay = Duration()
        delay.FromMilliseconds(round(1000 * error.retry_after))
        return [RetryInfo(retry_delay=delay)]
    for kind, field in FIELDS:
        if isinstance(error, kind):
            return [
                BadRequest(field_violations=[BadRequest.FieldViolation(field=field, description=shown(str(error)))])
            ]
    return []


def metadata_of(error: ArtoveqError) -> tuple[tuple[str, str | bytes], ...]:
    """The trailing metadata of a call that ends with this error."""
    status = Status(code=status_of(error).value[0], message=shown(str(error)))
    for detail in details_of(error):
        status.details.add().Pack(detail)
    named: tuple[tuple[str, str | bytes], ...] = ((STATUS, status.SerializeToString()),)
    if isinstance(error, ServerOverloaded):
        named += ((RETRY_AFTER, str(round(1000 * error.retry_after))),)
    return named


async def abort(context: Any, error: ArtoveqError) -> NoReturn:
    """Ends a call with an error."""
    context.set_trailing_metadata(metadata_of(error))
    await context.abort(status_of(error), shown(str(error)))
    raise AssertionError("abort does not return")
