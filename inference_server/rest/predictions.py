"""A picture in, an answer out: at one operating point, or at several of them, each better than the one before."""

import asyncio
import json
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from inference_server.access import Caller
from inference_server.answers import answer_message
from inference_server.deployment import Deployment
from inference_server.model import Model
from inference_server.rest.bodies import (
    ERRORS,
    EVENT,
    PICTURE_BODY,
    PNG,
    Accept,
    Level,
    ModelName,
    Point,
    PredictionBody,
    Problem,
    TopK,
)
from inference_server.uploads import Upload, UploadTooSlow
from wire.exceptions import ArtoveqError, PictureError, PointError, UsageError
from wire.manifest import Manifest
from wire.payload import Indices
from wire.tasks import RECONSTRUCTION

SHOWN_POINTS = 8
"""Answers that a stream has where the points are not a few whole levels."""
PREDICTED: dict[int | str, dict[str, Any]] = {
    **ERRORS,
    200: {
        "description": "The answer; where the model reconstructs pictures and `Accept` names image/png, that picture.",
        "content": {PNG: {"schema": {"type": "string", "format": "binary"}}},
    },
    406: {"model": Problem, "description": "A picture is asked for, and the model does not reconstruct any."},
}


class NotAcceptable(UsageError):
    """The answers of this model are not of the kind that is asked for."""


def prediction_routes(deployment: Deployment, caller_of: Callable[[Request], Caller]) -> APIRouter:
    """/v1/predictions and its stream."""
    router = APIRouter(tags=["predict"])

    Known = Annotated[Caller, Depends(caller_of)]  # noqa: N806

    async def body(request: Request, caller: Known) -> AsyncIterator[bytes]:
        """The request's body; what is longer, or comes too late, is not read to its end."""
        seconds = deployment.settings.upload_seconds
        with deployment.uploads.one(caller.name) as upload:
            try:
                await asyncio.wait_for(_read(request, upload), seconds)
            except asyncio.TimeoutError:
                raise UploadTooSlow(seconds) from None
            yield upload.file()

    Body = Annotated[bytes, Depends(body)]  # noqa: N806

    @router.post("/v1/predictions", response_model=PredictionBody, responses=PREDICTED, openapi_extra=PICTURE_BODY)
    async def predict(
        caller: Known,
        picture: Body,
        model: ModelName = "",
        point: Point = None,
        level: Level = None,
        top_k: TopK = 1,
        accept: Accept = "",
    ) -> Any:
        """Answers about a picture at one operating point."""
        served = deployment.models.named(model)
        chosen, as_file = chosen_point(served.manifest, point, level), PNG in accept
        if as_file:
            check_reconstructs(served.manifest)
        deployment.admit(caller)
        indices = await served.encode(caller.name, picture, chosen)
        body = await _answered(served, caller.name, indices, chosen, top_k, final=True)
        return Response(b64decode(body["png"]), media_type=PNG) if as_file else body

    @router.post(
        "/v1/predictions/stream",
        response_class=StreamingResponse,
        responses={
            **ERRORS,
            200: {
                "description": "Server-sent events: one `prediction` for each of some operating points, each like the "
                "answer of /v1/predictions; the last has `final` true.",
                "content": {"text/event-stream": {"schema": EVENT}},
            },
        },
        openapi_extra=PICTURE_BODY,
    )
    async def predict_stream(
        caller: Known,
        picture: Body,
        model: ModelName = "",
        point: Point = None,
        level: Level = None,
        top_k: TopK = 1,
    ) -> Response:
        """Answers about a picture at one operating point after the other, the cheapest first."""
        served = deployment.models.named(model)
        points = shown_points(served.manifest, chosen_point(served.manifest, point, level))
        deployment.admit(caller)
        first = await _encoded(served, caller.name, picture, points[0])
        return StreamingResponse(events(served, caller, picture, points, first, top_k), media_type="text/event-stream")

    async def events(
        served: Model, caller: Caller, picture: bytes, points: list[int], first: Indices, top_k: int
    ) -> AsyncIterator[str]:
        for point in points:
            try:
                deployment.access.check(caller, time.monotonic())
                indices = await _derived(served, caller.name, picture, first, points[0], point)
                body = await _answered(served, caller.name, indices, point, top_k, final=point == points[-1])
            except ArtoveqError as error:
                yield f"event: error\ndata: {json.dumps({'detail': str(error)})}\n\n"
                return
            yield f"event: prediction\ndata: {json.dumps(body)}\n\n"

    return router


async def _read(request: Request, upload: Upload) -> None:
    announced = request.headers.get("content-length", "")
    upload.expect(int(announced) if announced.isdecimal() else 0)
    try:
        async for chunk in request.stream():
            upload.add(chunk)
    except ClientDisconnect:  # nobody reads the answer
        raise PictureError("The picture file was cut short.") from None


async def _encoded(model: Model, caller: str, picture: bytes, point: int) -> Indices:
    """Where the model is refinable, at the end of the chain, from which all other points follow; else at the point."""
    manifest = model.manifest
    return await model.encode(caller, picture, manifest.chain[-1] if manifest.refinable else point)


async def _derived(model: Model, caller: str, picture: bytes, first: Indices, first_point: int, point: int) -> Indices:
    if model.manifest.refinable:
        return model.codec.at_point(first, point)
    return first if point == first_point else await model.encode(caller, picture, point)


async def _answered(
    model: Model, caller: str, indices: Indices, point: int, top_k: int, *, final: bool
) -> dict[str, Any]:
    """The answer to indices at a point, with what an edge would have sent for it."""
    decoded = await model.decoder.decode(caller, point, indices)
    if final:
        model.count(point)
    value = model.task.read(answer_message(decoded, model.task, model.manifest, top_k))
    payload, _ = model.codec.write_block(indices, point)
    return {"point": point, "payload_bytes": len(payload), "final": final, **model.task.describe(value)}


def chosen_point(manifest: Manifest, point: int | None, level: int | None) -> int:
    """The operating point that was asked for, by either name; the best one where none was.

    Raises:
        PointError: if the model does not have it, or both are given.
    """
    if point is not None and level is not None:
        raise PointError("Give a point or a level, not both.")
    if level is not None:
        return manifest.point_of_level(level)
    if point is None:
        return len(manifest.points)
    manifest.point(point)
    return point


def check_reconstructs(manifest: Manifest) -> None:
    """Raises NotAcceptable where answers are no pictures."""
    if manifest.task.name != RECONSTRUCTION:
        raise NotAcceptable(
            f"{manifest.name} answers by {manifest.task.name}, not with a picture; ask for application/json, or name "
            "a model that reconstructs with ?model=."
        )


def shown_points(manifest: Manifest, last: int) -> list[int]:
    """The points up to `last` that are worth an answer of their own, cheapest first: the whole levels where there are
    some, else a few of the chain, or of all points."""
    levels = [point for point in manifest.levels.values() if point < last]
    if levels:
        return [*levels, last]
    candidates = [point for point in manifest.chain or range(1, len(manifest.points) + 1) if point < last]
    count = min(SHOWN_POINTS - 1, len(candidates))
    return [*(candidates[len(candidates) * i // count] for i in range(count)), last]
