"""Bodies of requests, behind a line with their type: a picture's file, or tensors; or a sentence."""

from __future__ import annotations

from inference_server.open_inference.routes import asked_of
from inference_server.open_inference.tensors import TensorError
from inference_server.rest.forms import FormError, picture_in


def check(data: bytes) -> None:
    kind, _, body = data.partition(b"\n")
    try:
        assert isinstance(picture_in(kind.decode("latin-1"), body), bytes)
    except FormError as error:
        assert "has no picture" in str(error)
    try:
        asked_of(body, len(kind) if kind.isdigit() else None)
    except TensorError as error:
        assert str(error).endswith(".")
