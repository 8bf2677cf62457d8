"""A picture and a question in, an answer out: at one operating point, or at several of them."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse

from inference_server.deployment import Deployment
from inference_server.rest.bodies import (
    ERRORS,
    PICTURE_BODY,
    Level,
    MinConfidence,
    ModelName,
    PayloadBytes,
    Point,
    Points,
    PredictionBody,
    Question,
    TopK,
)
from inference_server.rest.events import MEDIA_TYPE, schema
from inference_server.rest.identity import Known
from inference_server.rest.predictions import Wanted, answered_at, chosen_point, picture_body, streamed
from inference_server.rest.presence import while_connected
from wire.questions import check_question

EVENT = "answer"


def answer_routes(deployment: Deployment) -> APIRouter:
    """/v1/answers and its stream."""
    router = APIRouter(tags=["predict"])
    Body = Annotated[bytes, Depends(picture_body(deployment))]  # noqa: N806

    @router.post("/v1/answers", response_model=PredictionBody, responses=ERRORS, openapi_extra=PICTURE_BODY)
    async def answer(
        request: Request,
        caller: Known,
        picture: Body,
        question: Question,
        model: ModelName = "",
        point: Point = None,
        level: Level = None,
        payload_bytes: PayloadBytes = None,
        top_k: TopK = 1,
    ) -> Any:
        """Answers a question about a picture at one operating point."""
        check_question(question)
        served = deployment.models.named(model)
        chosen = chosen_point(served.manifest, point, level, payload_bytes)
        wanted = Wanted(deployment, served, caller, picture, top_k, question=question)
        return await while_connected(request, answered_at(wanted, chosen))

    @router.post(
        "/v1/answers/stream",
        response_class=StreamingResponse,
        responses={
            **ERRORS,
            200: {
                "description": "Server-sent events: one `answer` for each of some operating points, each like the "
                "answer of /v1/answers; the last has `final` true. One in free text comes in parts before it is whole: "
                "each has `partial` true, and all that has been said. Or `error`, a problem.",
                "content": {MEDIA_TYPE: {"schema": schema(EVENT, "error")}},
            },
        },
        openapi_extra=PICTURE_BODY,
    )
    async def answer_stream(
        caller: Known,
        picture: Body,
        question: Question,
        model: ModelName = "",
        point: Point = None,
        level: Level = None,
        payload_bytes: PayloadBytes = None,
        points: Points = None,
        min_confidence: MinConfidence = None,
        top_k: TopK = 1,
    ) -> Response:
        """Answers a question about a picture at one operating point after the other, the cheapest first."""
        check_question(question)
        served = deployment.models.named(model)
        wanted = Wanted(deployment, served, caller, picture, top_k, min_confidence, question, EVENT)
        return await streamed(wanted, point, level, payload_bytes, points)

    return router
