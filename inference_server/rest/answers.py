"""A picture and a question in, an answer out: at one operating point, or at several of them."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse

from inference_server.deployment import Deployment
from inference_server.rest.bodies import (
    ERRORS,
    PICTURE_BODY,
    Choice,
    PredictionBody,
    Question,
    StreamChoice,
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
        asked: Annotated[Choice, Depends()],
    ) -> Any:
        """Answers a question about a picture at one operating point."""
        check_question(question)
        served = deployment.models.named(asked.model)
        chosen = chosen_point(served.manifest, asked)
        wanted = Wanted(deployment, served, caller, picture, asked, question)
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
        asked: Annotated[StreamChoice, Depends()],
    ) -> Response:
        """Answers a question about a picture at one operating point after the other, the cheapest first."""
        check_question(question)
        served = deployment.models.named(asked.model)
        wanted = Wanted(deployment, served, caller, picture, asked, question, EVENT)
        return await streamed(wanted)

    return router
