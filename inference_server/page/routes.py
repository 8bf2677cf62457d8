"""The web page at /, and the events it lives on."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.types import Scope

from inference_server.access import Caller
from inference_server.deployment import Deployment
from inference_server.page.edges import View
from inference_server.rest.bodies import refused
from inference_server.rest.events import MEDIA_TYPE, RETRY, event, schema
from inference_server.rest.identity import caller_of
from inference_server.rest.problems import OVERLOADED, STOPPING, TOKEN_WANTED
from wire.exceptions import AccessDenied, ServerOverloaded

FILES = Path(__file__).parent / "static"
INTERVAL_S = 0.25
SHOWN_EDGES = 24
HEADERS = {"Cache-Control": "no-store", "Connection": "close"}
"""Where the events end, so does the connection: who is refused keeps nothing open."""


class Page(StaticFiles):
    """The page's files. The browser asks anew each time."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def page_routes(deployment: Deployment) -> APIRouter:
    """Events for viewers of the page."""
    router = APIRouter()

    @router.get(
        "/v1/edges",
        response_class=StreamingResponse,
        responses={
            200: {
                "description": "Server-sent events, four a second: `edges`, what is new of the edges that are "
                "connected. The first one tells all that is kept; who accepts application/json gets that one alone.",
                "content": {
                    "text/event-stream": {"schema": schema("edges")},
                    "application/json": {"schema": {"type": "object"}},
                },
            },
            **refused(TOKEN_WANTED, OVERLOADED, STOPPING),
        },
        tags=["watch"],
    )
    async def watch_edges(request: Request, caller: Annotated[Caller, Depends(caller_of(deployment))]) -> Response:
        """The edges that are connected: newest answers, operating points, capacities, deadlines."""
        deployment.refuse_when_draining()
        deployment.access.may_view(caller)
        if "application/json" in request.headers.get("accept", ""):
            return JSONResponse(news(View(deployment.edges, SHOWN_EDGES)), headers={"Cache-Control": "no-store"})
        return StreamingResponse(events(caller), media_type=MEDIA_TYPE, headers=HEADERS)

    def news(view: View) -> dict[str, Any]:
        waiting = sum(model.decoder.waiting for model in deployment.models)
        return {"waiting": waiting, "port": deployment.port, **view.news()}

    async def events(caller: Caller) -> AsyncIterator[str]:
        view, numbers = View(deployment.edges, SHOWN_EDGES), count(1)
        yield RETRY
        with contextlib.suppress(AccessDenied, ServerOverloaded), deployment.access.viewing(caller):
            while not deployment.draining:
                deployment.access.check(caller, time.monotonic())
                yield event(next(numbers), "edges", news(view))
                await asyncio.sleep(INTERVAL_S)

    return router
