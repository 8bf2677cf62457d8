"""REST beside gRPC: a picture in, an answer out, for callers without an edge encoder."""

import json
import logging
from collections.abc import AsyncIterator
from math import ceil
from typing import Annotated, Any

import numpy as np
from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect

from inference_server import metrics
from inference_server.batcher import Answer
from inference_server.engine import Engine
from inference_server.identity import RequestIds, caller_of
from inference_server.page import FILES, Page, page_routes
from wire.artifact import Manifest
from wire.bitplanes import Indices
from wire.entropy import write_planes
from wire.exceptions import AccessDenied, ArtoveqError, LevelError, PictureError, ServerOverloaded, ServerUnavailable

log = logging.getLogger(__name__)

STATUS: tuple[tuple[type[ArtoveqError], int], ...] = (
    (PictureError, 422),
    (LevelError, 422),
    (AccessDenied, 401),
    (ServerOverloaded, 429),
    (ServerUnavailable, 503),
)
PICTURE_BODY = {
    "requestBody": {
        "required": True,
        "description": "A JPEG, PNG or WebP file.",
        "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
    }
}


EVENT = {
    "type": "object",
    "properties": {"event": {"enum": ["prediction", "error"]}, "data": {"type": "string"}},
    "required": ["event", "data"],
}


class Class(BaseModel):
    """A class, and how probable the model holds it."""

    index: int
    name: str
    probability: float = Field(ge=0, le=1)


class PredictionBody(BaseModel):
    """The answer for a picture, made from `planes` bit-planes of `payload_bytes` bytes in all."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "planes": 4,
                    "payload_bytes": 256,
                    "final": True,
                    "classes": [{"index": 2, "name": "beagle", "probability": 0.93}],
                }
            ]
        }
    )

    planes: int
    payload_bytes: int
    final: bool
    classes: list[Class]


class Problem(BaseModel):
    """Why a request was refused, as a sentence."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"detail": "Level 9 does not exist; …"}]})

    detail: str


class Health(BaseModel):
    status: str


ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "The server wants a token that it knows."},
    413: {"model": Problem, "description": "The picture file is too large."},
    422: {"model": Problem, "description": "The picture, the level or another value is none."},
    429: {"model": Problem, "description": "Too many pictures are waiting."},
    503: {"model": Problem, "description": "The server is stopping."},
}
TopK = Annotated[int, Query(ge=1, le=1000, description="How many classes to name.")]
Level = Annotated[int | None, Query(description="Bits per sub-vector; the highest level if left out.")]


def build_app(engine: Engine) -> FastAPI:
    """The HTTP interface of an engine."""
    app = FastAPI(
        title="artoveq",
        version="1",
        summary="Remote inference over links that keep changing.",
        description="Pictures go in whole here. An edge that should save bytes uses the gRPC service.",
    )
    app.add_middleware(RequestIds)
    manifest = engine.manifest

    @app.exception_handler(ArtoveqError)
    async def refuse(request: Request, error: ArtoveqError) -> JSONResponse:
        status = next((code for kind, code in STATUS if isinstance(error, kind)), 500)
        named = {"request_id": request.state.request_id, "path": request.url.path, "status": status}
        log.log(logging.DEBUG if status in (401, 422) else logging.INFO, "A request failed: %s", error, extra=named)
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
        if status in (429, 503):
            headers["Retry-After"] = str(ceil(error.retry_after) if isinstance(error, ServerOverloaded) else 1)
        return JSONResponse({"detail": str(error)}, status, headers)

    @app.exception_handler(RequestValidationError)
    async def explain(_: Request, error: RequestValidationError) -> JSONResponse:
        found = "; ".join(f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}" for e in error.errors())
        return JSONResponse({"detail": f"These values are not possible: {found}."}, 422)

    Caller = Annotated[str, Depends(caller_of(engine))]  # noqa: N806

    async def body(request: Request) -> bytes | None:
        """The request's body, None where it is larger than the limit: then nothing more of it is read."""
        data = bytearray()
        try:
            async for chunk in request.stream():
                data += chunk
                if len(data) > engine.settings.max_upload_bytes:
                    return None
        except ClientDisconnect:  # nobody reads the answer
            raise PictureError("The picture file was cut short.") from None
        return bytes(data)

    Body = Annotated[bytes | None, Depends(body)]  # noqa: N806

    def too_large() -> JSONResponse:
        limit = engine.settings.max_upload_bytes
        return JSONResponse({"detail": f"The picture file has more than {limit:,} bytes."}, 413)

    def described(answer: Answer, indices: Indices, level: int, top_k: int) -> PredictionBody:
        """The answer to the first planes of level-l indices, with what an edge would have sent for it."""
        final, count = answer.level == level, answer.level
        if final:
            metrics.PICTURES.labels(count).inc()
        return PredictionBody(
            planes=count,
            payload_bytes=len(write_planes(engine.coder, indices, level, 1, count)),
            final=final,
            classes=[Class(**vars(c)) for c in engine.best_classes(answer, top_k)],
        )

    @app.post(
        "/v1/predictions", response_model=PredictionBody, responses=ERRORS, openapi_extra=PICTURE_BODY, tags=["predict"]
    )
    async def predict(caller: Caller, picture: Body, level: Level = None, top_k: TopK = 1) -> Any:
        """Classifies a picture at one level."""
        if picture is None:
            return too_large()
        engine.access.spend(caller)
        level = manifest.check_level(manifest.max_level if level is None else level)
        indices = await engine.encode(picture, level)
        return described(await engine.batcher.predict(caller, level, indices), indices, level, top_k)

    @app.post(
        "/v1/predictions/stream",
        response_class=StreamingResponse,
        responses={
            **ERRORS,
            200: {
                "description": "Server-sent events: one `prediction` per bit-plane, each like the answer of "
                "/v1/predictions; the last has `final` true.",
                "content": {"text/event-stream": {"schema": EVENT}},
            },
        },
        openapi_extra=PICTURE_BODY,
        tags=["predict"],
    )
    async def predict_stream(caller: Caller, picture: Body, level: Level = None, top_k: TopK = 1) -> Response:
        """Classifies a picture plane by plane: the answer gets better with each."""
        if picture is None:
            return too_large()
        engine.access.spend(caller)
        level = manifest.check_level(manifest.max_level if level is None else level)
        indices = await engine.encode(picture, level)
        engine.refuse_when_draining()
        return StreamingResponse(events(caller, indices, level, top_k), media_type="text/event-stream")

    async def events(caller: str, indices: Indices, level: int, top_k: int) -> AsyncIterator[str]:
        for count in range(1 if manifest.prefix_consistent else level, level + 1):
            try:
                answer = await engine.batcher.predict(caller, count, indices >> np.uint8(level - count))
            except ArtoveqError as error:
                yield f"event: error\ndata: {json.dumps({'detail': str(error)})}\n\n"
                return
            yield f"event: prediction\ndata: {described(answer, indices, level, top_k).model_dump_json()}\n\n"

    @app.get("/v1/model", response_model=Manifest, tags=["model"])
    async def model(_: Caller) -> Manifest:
        """The manifest of the model that is served."""
        return manifest

    @app.get("/healthz", response_model=Health, tags=["operate"])
    async def healthz() -> Health:
        """Whether the process lives."""
        return Health(status="ok")

    @app.get("/readyz", response_model=Health, responses={503: {"model": Health}}, tags=["operate"])
    async def readyz(response: Response) -> Health:
        """Whether the server takes new work."""
        response.status_code = 503 if engine.leaving else 200
        return Health(status="draining" if engine.leaving else "ready")

    @app.get("/metrics", response_class=Response, tags=["operate"])
    async def prometheus(_: Caller) -> Response:
        """Counters in the Prometheus text format."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    app.include_router(page_routes(engine))
    app.mount("/", Page(directory=FILES, html=True))
    return app
