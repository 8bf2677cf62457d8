"""A picture in, an answer out: at one operating point, or at several of them, each better than the one before."""

import asyncio
import contextlib
import time
from base64 import b64decode
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse

from inference_server.access import Caller
from inference_server.answers import Decoded, answer_message
from inference_server.deployment import Deployment
from inference_server.model import Model
from inference_server.rest.bodies import (
    ERRORS,
    PICTURE_BODY,
    PNG,
    Accept,
    Choice,
    PredictionBody,
    StreamChoice,
    refused,
)
from inference_server.rest.events import MEDIA_TYPE, RETRY, event, schema
from inference_server.rest.forms import picture_in
from inference_server.rest.identity import Known
from inference_server.rest.problems import NOT_ACCEPTABLE, NotAcceptable, body_of, kind_of
from inference_server.rest.received import received
from wire.exceptions import ArtoveqError, PointError
from wire.generated import remote_inference_pb2 as pb
from wire.local_head import local_head_of
from wire.manifest import Manifest
from wire.payload import Indices
from wire.questions import question_of
from wire.tasks import RECONSTRUCTION

SHOWN_POINTS = 8
"""Answers that a stream has where the points are not a few whole levels."""
PREDICTED: dict[int | str, dict[str, Any]] = {
    **ERRORS,
    200: {
        "description": "The answer; where the model reconstructs pictures and `Accept` names image/png, that picture.",
        "content": {PNG: {"schema": {"type": "string", "format": "binary"}}},
    },
    **refused(NOT_ACCEPTABLE),
}


def prediction_routes(deployment: Deployment) -> APIRouter:
    """/v1/predictions and its stream."""
    router = APIRouter(tags=["predict"])

    Body = Annotated[bytes, Depends(picture_body(deployment))]  # noqa: N806

    @router.post("/v1/predictions", response_model=PredictionBody, responses=PREDICTED, openapi_extra=PICTURE_BODY)
    async def predict(
        caller: Known,
        picture: Body,
        asked: Annotated[Choice, Depends()],
        accept: Accept = "",
    ) -> Any:
        """Answers about a picture at one operating point."""
        served = deployment.models.named(asked.model)
        chosen, as_file = chosen_point(served.manifest, asked), PNG in accept
        if as_file:
            check_reconstructs(served.manifest)
        body = await answered_at(Wanted(deployment, served, caller, picture, asked), chosen)
        return Response(b64decode(body["png"]), media_type=PNG) if as_file else body

    @router.post(
        "/v1/predictions/stream",
        response_class=StreamingResponse,
        responses={
            **ERRORS,
            200: {
                "description": "Server-sent events: one `prediction` for each of some operating points, each like the "
                "answer of /v1/predictions; the last has `final` true. Or `error`, a problem.",
                "content": {MEDIA_TYPE: {"schema": schema("prediction", "error")}},
            },
        },
        openapi_extra=PICTURE_BODY,
    )
    async def predict_stream(
        caller: Known,
        picture: Body,
        asked: Annotated[StreamChoice, Depends()],
    ) -> Response:
        """Answers about a picture at one operating point after the other, the cheapest first."""
        return await streamed(Wanted(deployment, deployment.models.named(asked.model), caller, picture, asked))

    return router


def picture_body(deployment: Deployment) -> Callable[[Request, Known], AsyncIterator[bytes]]:
    """What gives a route the picture in its request."""

    async def body(request: Request, caller: Known) -> AsyncIterator[bytes]:
        async with received(deployment, caller.name, request) as found:
            yield picture_in(request.headers.get("content-type", ""), found)

    return body


@dataclass(frozen=True)
class Wanted:
    """What is asked of a model about a picture's file; an answer that is so sure is the last one."""

    deployment: Deployment
    model: Model
    caller: Caller
    picture: bytes
    asked: Choice
    question: str = ""
    event: str = "prediction"
    """What the answers of a stream are called."""

    def admit(self) -> None:
        """Takes it from the caller's allowance.

        Raises:
            QuestionError: if the model cannot answer the question, or wants one.
            ArtoveqError: as `Deployment.admit`.
        """
        question_of(self.model.manifest, self.question)
        self.deployment.admit(self.caller)


async def answered_at(wanted: Wanted, point: int) -> dict[str, Any]:
    """The only answer, at a point that the model has."""
    wanted.admit()
    if point == 0:
        return await _local(wanted, last=True)
    indices = await wanted.model.encode(wanted.caller.name, wanted.picture, point)
    return await _answered(wanted, indices, point, last=True)


async def streamed(wanted: Wanted) -> Response:
    """Answers at one point after the other, as server-sent events."""
    manifest, points = wanted.model.manifest, wanted.asked.points
    last = chosen_point(manifest, wanted.asked)
    shown = sorted({*points}) if points else shown_points(manifest, last)
    for number in shown:
        check_point(manifest, number)
    wanted.admit()
    served = [number for number in shown if number]
    first = await _encoded(wanted.model, wanted.caller.name, wanted.picture, served[0]) if served else None
    return StreamingResponse(_events(wanted, shown, first), media_type=MEDIA_TYPE)


async def _events(wanted: Wanted, points: list[int], first: Indices | None) -> AsyncIterator[str]:
    model, caller = wanted.model, wanted.caller
    yield RETRY
    for number, point in enumerate(points, 1):
        last = number == len(points)
        try:
            wanted.deployment.access.check(caller, time.monotonic())
            if first is None or not point:
                body = await _local(wanted, last)
                yield event(number, wanted.event, body)
            else:
                begun = points[not points[0]]
                indices = await _derived(model, caller.name, wanted.picture, first, begun, point)
                async with contextlib.aclosing(_parts(wanted, indices, point, last)) as bodies:
                    async for body in bodies:
                        yield event(number, wanted.event, body)
        except ArtoveqError as error:
            yield event(number, "error", body_of(kind_of(error), str(error)))
            return
        if body["final"]:
            return


async def _encoded(model: Model, caller: str, picture: bytes, point: int) -> Indices:
    """Where the model is refinable, at the end of the chain, from which all other points follow; else at the point."""
    manifest = model.manifest
    return await model.encode(caller, picture, manifest.chain[-1] if manifest.refinable else point)


async def _derived(model: Model, caller: str, picture: bytes, first: Indices, first_point: int, point: int) -> Indices:
    if model.manifest.refinable:
        return model.codec.at_point(first, point)
    return first if point == first_point else await model.encode(caller, picture, point)


async def _answered(wanted: Wanted, indices: Indices, point: int, last: bool) -> dict[str, Any]:
    """The whole answer to indices at a point, with what an edge would have sent; `final` if it is the last, or so
    sure."""
    decoded = await wanted.deployment.decode(wanted.model, wanted.caller, point, indices, wanted.question)
    return _described(wanted, decoded, _payload_bytes(wanted, indices, point), last)


async def _parts(wanted: Wanted, indices: Indices, point: int, last: bool) -> AsyncGenerator[dict[str, Any], None]:
    """As `_answered`, before it the parts of it that are said, each with `partial`."""
    parts: asyncio.Queue[Decoded | None] = asyncio.Queue()
    making = wanted.deployment.decode(wanted.model, wanted.caller, point, indices, wanted.question, parts.put_nowait)
    whole = asyncio.create_task(making)
    whole.add_done_callback(lambda _: parts.put_nowait(None))
    payload_bytes = _payload_bytes(wanted, indices, point)  # of the picture, once for all that is said of it
    try:
        while (part := await parts.get()) is not None:
            yield {**_described(wanted, part, payload_bytes, last=False), "partial": True}
        yield _described(wanted, await whole, payload_bytes, last)
    finally:
        whole.cancel()  # whoever asked may have gone


def _payload_bytes(wanted: Wanted, indices: Indices, point: int) -> int:
    return len(wanted.model.codec.write_block(indices, point)[0])


def _described(wanted: Wanted, decoded: Decoded, payload_bytes: int, last: bool) -> dict[str, Any]:
    model = wanted.model
    value = model.task.read(answer_message(decoded, model.task, model.manifest, wanted.asked.top_k))
    return _body(wanted, value, decoded.point, payload_bytes, last, partial=decoded.partial)


async def _local(wanted: Wanted, last: bool) -> dict[str, Any]:
    """As `_answered`, what the edge itself would say: point 0, no byte."""
    model, message = wanted.model, pb.Answer()
    output = await model.answer_locally(wanted.caller.name, wanted.picture)
    model.task.fill(message, output, model.manifest, wanted.asked.top_k)
    return _body(wanted, model.task.read(message), 0, 0, last)


def _body(
    wanted: Wanted, value: Any, point: int, payload_bytes: int, last: bool, *, partial: bool = False
) -> dict[str, Any]:
    model, least = wanted.model, wanted.asked.min_confidence
    final = last or (least is not None and not partial and model.task.confidence(value) >= least)
    if final:
        model.count(point)
    return {"point": point, "payload_bytes": payload_bytes, "final": final, **model.task.describe(value)}


def check_point(manifest: Manifest, point: int) -> None:
    """Raises PointError if the model does not have it; 0 is the edge's own answer."""
    if point == 0:
        local_head_of(manifest)
    else:
        manifest.point(point)


def chosen_point(manifest: Manifest, asked: Choice) -> int:
    """The operating point that was asked for, by one of its names; the best one where none was.

    Raises:
        PointError: if the model does not have it, or it has two names.
    """
    names = asked.point, asked.level, asked.payload_bytes, asked.points
    if sum(given is not None for given in names) > 1:
        raise PointError("Give a point or a level, not both; nor bytes or points besides.")
    if asked.level is not None:
        return manifest.point_of_level(asked.level)
    if asked.payload_bytes is not None:
        return manifest.point_within(asked.payload_bytes)
    best = max(asked.points) if asked.points else len(manifest.points)
    chosen = best if asked.point is None else asked.point
    check_point(manifest, chosen)
    return chosen


def check_reconstructs(manifest: Manifest) -> None:
    """Raises NotAcceptable where answers are no pictures."""
    if manifest.task.name != RECONSTRUCTION:
        raise NotAcceptable(
            f"{manifest.name} answers by {manifest.task.name}, not with a picture; ask for application/json, or name "
            "a model that reconstructs with ?model=."
        )


def shown_points(manifest: Manifest, last: int) -> list[int]:
    """The points up to `last` that are worth an answer of their own, cheapest first: the edge's own, where it has one;
    the whole levels where there are some, else a few of the chain, or of all points."""
    own = [0] if manifest.local_head is not None and last else []
    levels = [point for point in manifest.levels.values() if point < last]
    if levels:
        return [*own, *levels, last]
    candidates = [point for point in manifest.chain or range(1, len(manifest.points) + 1) if point < last]
    count = min(SHOWN_POINTS - 1, len(candidates))
    return [*own, *(candidates[len(candidates) * i // count] for i in range(count)), last]
