"""What crosses over HTTP, as the OpenAPI document describes it."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from fastapi import Header, Query
from pydantic import BaseModel, ConfigDict

from inference_server.rest import problems

BINARY = {"type": "string", "format": "binary"}
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAE0lEQVR42mNkaGDACpgYGIaSBABqCACQdB1jOgAAAABJRU5ErkJggg=="
"""A green picture of 8×8."""
FILES = ("image/jpeg", "image/png", "image/webp", "application/octet-stream")
PICTURE_BODY = {
    "requestBody": {
        "required": True,
        "description": "A JPEG, PNG or WebP file: as it is, as a file of a form, or in base64.",
        "content": {
            **{
                kind: {"schema": BINARY}
                for kind in ("image/jpeg", "image/png", "image/webp", "application/octet-stream")
            },
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"picture": BINARY}, "required": ["picture"]}
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"picture": {"type": "string", "contentEncoding": "base64"}},
                    "required": ["picture"],
                },
                "examples": {"green": {"value": {"picture": DOT}}},
            },
        },
    }
}


class PredictionBody(BaseModel):
    """The answer for a picture, made at an operating point whose payload would have had `payload_bytes`.

    Point 0 is what the edge itself would have said, without sending a byte.

    In a stream `partial` is true where more of this answer is being said.

    Further keys are the task's: of classes, `classes`, the most probable one first; of a question, `answers`, likewise;
    of a reconstruction, `png`, a file in base64.
    """

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "point": 36,
                    "payload_bytes": 201,
                    "final": True,
                    "classes": [{"index": 2, "name": "beagle", "probability": 0.93}],
                }
            ]
        },
    )

    point: int
    payload_bytes: int
    final: bool


class ModelSummary(BaseModel):
    """A version of a model that is served: `fingerprint` names it; `name` names the one that is `current`.

    share: of the edges, how many get it. streams: open ones. pictures: that it has answered.
    loaded: whether it is in memory, where it takes about memory_bytes; else it is loaded once it is asked for.
    """

    name: str
    fingerprint: str
    task: str
    points: int
    refinable: bool
    current: bool
    share: float
    streams: int
    pictures: int
    loaded: bool
    memory_bytes: int


class Problem(BaseModel):
    """Why a request was refused (RFC 9457): `type` is for programs, and stays; `detail` is a sentence for people."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [problems.body_of(problems.POINT_UNKNOWN, "Point 900 does not exist; …")]}
    )

    type: Literal[tuple(kind.type for kind in problems.KINDS)]  # type: ignore[valid-type]
    title: str
    status: int
    detail: str


class Health(BaseModel):
    """How the server is."""

    status: str


def refused(*kinds: problems.Kind) -> dict[int | str, dict[str, Any]]:
    """How an operation may refuse, by status."""
    found: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        description = found.get(kind.status, {}).get("description")
        found[kind.status] = {
            "model": Problem,
            "description": f"{description} Or: {kind.title}" if description else kind.title,
        }
    return found


ERRORS = refused(
    problems.TOKEN_WANTED,
    problems.MODEL_UNKNOWN,
    problems.UPLOAD_TOO_SLOW,
    problems.UPLOAD_TOO_LARGE,
    problems.BODY_UNREADABLE,
    problems.PICTURE_UNREADABLE,
    problems.QUESTION_UNANSWERABLE,
    problems.POINT_UNKNOWN,
    problems.VALUE_IMPOSSIBLE,
    problems.OVERLOADED,
    problems.STOPPING,
)
"""Of predictions."""
PNG = "image/png"
Accept = Annotated[str, Header(description="image/png: a reconstruction as a file, in place of JSON.")]
Question = Annotated[str, Query(description="About the picture, in words that the model knows, or any.")]
ModelName = Annotated[str, Query(alias="model", description="Name or fingerprint; the first model if left out.")]


@dataclass(frozen=True)
class Choice:
    """Which model answers, and at which operating point."""

    model: ModelName = ""
    point: Annotated[
        int | None, Query(description="Operating point, 0 for the edge's own answer; the best one if left out.")
    ] = None
    level: Annotated[
        int | None, Query(description="In place of `point`: the one where all codebooks have 2^level codewords.")
    ] = None
    payload_bytes: Annotated[
        int | None,
        Query(alias="bytes", ge=1, description="In place of `point`: the best one whose packed payload is no larger."),
    ] = None
    top_k: Annotated[int, Query(ge=1, le=1000, description="How many classes to name.")] = 1
    points: list[int] | None = field(default=None, init=False)
    min_confidence: float | None = field(default=None, init=False)
    """Both are for streams alone."""


@dataclass(frozen=True)
class StreamChoice(Choice):
    """One answer after the other, and which is the last."""

    points: Annotated[
        list[int] | None,
        Query(
            min_length=1,
            max_length=64,
            description="In place of `point`: one answer for each of these, cheapest first.",
        ),
    ] = None
    min_confidence: Annotated[
        float | None, Query(ge=0, le=1, description="The first answer that is so sure is the last one.")
    ] = None
