"""What a call that fails says beside its sentence."""

from __future__ import annotations

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status

from inference_server.rpc.details import RETRY_AFTER, STATUS, metadata_of
from inference_server.streams.status import UnknownFile
from wire.exceptions import (
    ArtoveqError,
    ModelMismatch,
    PictureError,
    PointError,
    ProtocolError,
    QuestionError,
    ServerOverloaded,
)


def status_of_call(error: ArtoveqError) -> Status:
    said = dict(metadata_of(error))[STATUS]
    assert isinstance(said, bytes)
    return Status.FromString(said)


def test_an_overload_says_when_to_try_again() -> None:
    status, info = status_of_call(ServerOverloaded("Full.", 1.25)), RetryInfo()
    assert (status.code, status.message) == (grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], "Full.")
    assert status.details[0].Unpack(info) and info.retry_delay.ToMilliseconds() == 1250
    assert dict(metadata_of(ServerOverloaded("Full.", 1.25)))[RETRY_AFTER] == "1250"


@pytest.mark.parametrize(
    ("error", "field"),
    [
        (PointError("No."), "point"),
        (PictureError("No."), "picture"),
        (QuestionError("No."), "question"),
        (ProtocolError("No."), ""),
        (UnknownFile("No."), ""),
    ],
)
def test_a_bad_request_says_what_is_wrong_with_it(error: ArtoveqError, field: str) -> None:
    request = BadRequest()
    assert status_of_call(error).details[0].Unpack(request)
    assert [(one.field, one.description) for one in request.field_violations] == [(field, "No.")]


def test_other_errors_have_no_details() -> None:
    assert not status_of_call(ModelMismatch("Another.")).details
