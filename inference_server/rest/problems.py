"""Why a request was refused, as RFC 9457 has it: each kind of problem with a type that stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from starlette.responses import JSONResponse

from inference_server.management import NotManaged
from inference_server.open_inference.tensors import TensorError
from inference_server.rest.forms import FormError
from inference_server.rollout import VersionInUse
from inference_server.room import ModelTooLarge
from inference_server.streams.status import UnknownFile
from inference_server.uploads import UploadTooLarge, UploadTooSlow
from inference_server.versions import NotKept
from wire.exceptions import (
    AccessDenied,
    ArtifactError,
    ArtoveqError,
    ModelMismatch,
    PictureError,
    PointError,
    QuestionError,
    ServerOverloaded,
    ServerUnavailable,
    UsageError,
)
from wire.shown import shown

MEDIA_TYPE = "application/problem+json"


class NotAcceptable(UsageError):
    """The answers of this model are not of the kind that is asked for."""


@dataclass(frozen=True)
class Kind:
    """A kind of problem: what its type ends with, its status, and what it is in a few words."""

    name: str
    status: int
    title: str

    @property
    def type(self) -> str:
        """What a program tells kinds apart by."""
        return f"urn:artoveq:problem:{self.name}"


TOKEN_WANTED = Kind("token-wanted", 401, "The server wants a token that it knows.")
ORIGIN_UNKNOWN = Kind("origin-unknown", 403, "Pages of this origin may not use the server.")
NOT_MANAGED = Kind("not-managed", 403, "The models of this server cannot be changed.")
MODEL_UNKNOWN = Kind("model-unknown", 404, "The model is not served.")
FILE_UNKNOWN = Kind("file-unknown", 404, "The model has no such file for edges.")
PATH_UNKNOWN = Kind("path-unknown", 404, "There is nothing at this path.")
METHOD_UNKNOWN = Kind("method-unknown", 405, "The path does not take this method.")
NOT_ACCEPTABLE = Kind("not-acceptable", 406, "A picture is asked for, and the model does not reconstruct any.")
UPLOAD_TOO_SLOW = Kind("upload-too-slow", 408, "The picture file did not arrive in time.")
VERSION_IN_USE = Kind("version-in-use", 409, "The model is not in a state for that.")
UPLOAD_TOO_LARGE = Kind("upload-too-large", 413, "The picture file is too large.")
NAME_UNKNOWN = Kind("name-unknown", 421, "The server does not answer to this name.")
BODY_UNREADABLE = Kind("body-unreadable", 422, "The body holds no picture where it should.")
PICTURE_UNREADABLE = Kind("picture-unreadable", 422, "The picture cannot be read.")
MODEL_TOO_LARGE = Kind("model-too-large", 422, "The model takes more memory than all models may.")
ARTIFACT_UNREADABLE = Kind("artifact-unreadable", 422, "The folder is no artifact that can be served.")
QUESTION_UNANSWERABLE = Kind("question-unanswerable", 422, "The model cannot answer the question, or wants one.")
POINT_UNKNOWN = Kind("point-unknown", 422, "The model does not have this operating point.")
VALUE_IMPOSSIBLE = Kind("value-impossible", 422, "A parameter has a value that is not possible.")
OVERLOADED = Kind("overloaded", 429, "Too much is waiting.")
FAILED = Kind("failed", 500, "The server failed.")
NOT_KEPT = Kind("not-kept", 500, "The change could not be written down.")
STOPPING = Kind("stopping", 503, "The server is stopping.")

KINDS = tuple(value for value in dict(globals()).values() if isinstance(value, Kind))
OF_ERRORS: tuple[tuple[type[ArtoveqError], Kind], ...] = (
    (UploadTooLarge, UPLOAD_TOO_LARGE),
    (UploadTooSlow, UPLOAD_TOO_SLOW),
    (NotAcceptable, NOT_ACCEPTABLE),
    (FormError, BODY_UNREADABLE),
    (TensorError, VALUE_IMPOSSIBLE),
    (PictureError, PICTURE_UNREADABLE),
    (PointError, POINT_UNKNOWN),
    (QuestionError, QUESTION_UNANSWERABLE),
    (NotManaged, NOT_MANAGED),
    (VersionInUse, VERSION_IN_USE),
    (NotKept, NOT_KEPT),
    (ModelTooLarge, MODEL_TOO_LARGE),
    (ArtifactError, ARTIFACT_UNREADABLE),
    (AccessDenied, TOKEN_WANTED),
    (ModelMismatch, MODEL_UNKNOWN),
    (UnknownFile, FILE_UNKNOWN),
    (ServerOverloaded, OVERLOADED),
    (ServerUnavailable, STOPPING),
)


def kind_of(error: ArtoveqError) -> Kind:
    """The kind of problem that an error is."""
    return next((kind for of, kind in OF_ERRORS if isinstance(error, of)), FAILED)


def body_of(kind: Kind, detail: str) -> dict[str, Any]:
    """detail: a sentence about this time."""
    return {"type": kind.type, "title": kind.title, "status": kind.status, "detail": detail}


def problem(kind: Kind, detail: str, headers: Mapping[str, str] | None = None, *, error: bool = False) -> JSONResponse:
    """An answer that says so; with `error`, under that name too, where clients of other protocols look."""
    body = body_of(kind, detail)
    return JSONResponse({"error": detail, **body} if error else body, kind.status, headers, MEDIA_TYPE)


def problem_of(found: ArtoveqError, *, error: bool = False) -> JSONResponse:
    """An error as an answer."""
    kind, headers = kind_of(found), {}
    if kind is TOKEN_WANTED:
        headers["WWW-Authenticate"] = "Bearer"
    if kind in (OVERLOADED, STOPPING):
        headers["Retry-After"] = str(max(1, ceil(found.retry_after)) if isinstance(found, ServerOverloaded) else 1)
    return problem(kind, shown(str(found)), headers, error=error)
