"""What crosses over HTTP, as the OpenAPI document describes it."""

from typing import Annotated, Any

from fastapi import Header, Query
from pydantic import BaseModel, ConfigDict

PICTURE_BODY = {
    "requestBody": {
        "required": True,
        "description": "A JPEG, PNG or WebP file.",
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in ("image/jpeg", "image/png", "image/webp")
        },
    }
}
EVENT = {
    "type": "object",
    "properties": {"event": {"enum": ["prediction", "error"]}, "data": {"type": "string"}},
    "required": ["event", "data"],
}


class PredictionBody(BaseModel):
    """The answer for a picture, made at an operating point whose payload would have had `payload_bytes`.

    Further keys are the task's: of classes, `classes`, the most probable one first; of a reconstruction, `png`, a
    file in base64.
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
    """A model that is served; `name` and `fingerprint` both name it."""

    name: str
    fingerprint: str
    task: str
    points: int
    refinable: bool


class Problem(BaseModel):
    """Why a request was refused, as a sentence."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"detail": "Point 900 does not exist; …"}]})

    detail: str


class Health(BaseModel):
    """How the server is."""

    status: str


ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "The server wants a token that it knows."},
    404: {"model": Problem, "description": "The model is not served."},
    408: {"model": Problem, "description": "The picture file did not arrive in time."},
    413: {"model": Problem, "description": "The picture file is too large."},
    422: {"model": Problem, "description": "The picture, the point or another value is none."},
    429: {"model": Problem, "description": "Too many pictures are waiting."},
    503: {"model": Problem, "description": "The server is stopping."},
}
PNG = "image/png"
Accept = Annotated[str, Header(description="image/png: a reconstruction as a file, in place of JSON.")]
TopK = Annotated[int, Query(ge=1, le=1000, description="How many classes to name.")]
Point = Annotated[int | None, Query(description="Operating point, from 1; the best one if left out.")]
Level = Annotated[
    int | None, Query(description="In place of `point`: the one where all codebooks have 2^level codewords.")
]
ModelName = Annotated[str, Query(alias="model", description="Name or fingerprint; the first model if left out.")]
