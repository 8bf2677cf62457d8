"""The web page at /, and the events it lives on."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.types import Scope

from inference_server.access import Caller
from inference_server.deployment import Deployment
from inference_server.page.address import card
from inference_server.page.health import Health
from inference_server.page.view import Close, Overview
from inference_server.rest.bodies import refused
from inference_server.rest.events import MEDIA_TYPE, RETRY, event, schema
from inference_server.rest.identity import Known
from inference_server.rest.problems import OVERLOADED, STOPPING, TOKEN_WANTED, VALUE_IMPOSSIBLE
from wire.exceptions import AccessDenied, ServerOverloaded

FILES = Path(__file__).parent / "static"
WASM = ".wasm"
INTERVAL_S, CLOSE_INTERVAL_S = 1.0, 0.25
"""From event to event: of all edges, and of one."""
SHOWN_EDGES = 512
HEADERS = {"Cache-Control": "no-store", "Connection": "close"}
"""Where the events end, so does the connection: who is refused keeps nothing open."""
EdgeNumber = Annotated[int | None, Query(ge=1, description="Of one edge, as the events number it: all that is kept.")]


class View:
    """What one viewer is told by this process: how the server is, and its edges, or one of them."""

    def __init__(self, deployment: Deployment, edge: int | None) -> None:
        self._deployment, self._health, edges = deployment, Health(deployment), deployment.edges
        self._view = Overview(edges, SHOWN_EDGES) if edge is None else Close(edges, edge)

    def news(self) -> dict[str, Any]:
        """What has not been told yet, as JSON values."""
        now = time.monotonic()
        told = {"now": round(now, 3), "port": self._deployment.port, "server": self._health.news(now)}
        return {**told, **self._view.news(now)}


class Page(StaticFiles):
    """The page's files. The browser asks anew each time."""

    def __init__(self) -> None:
        super().__init__(directory=FILES, html=True, follow_symlink=True)  # the link is to clients/web

    async def get_response(self, path: str, scope: Scope) -> Response:
        if path.endswith(WASM):
            response = await super().get_response(f"{path}.gz", scope)  # a fifth of its size, and all browsers read it
            response.headers.update({"Content-Encoding": "gzip", "Content-Type": "application/wasm"})
        else:
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
                "description": "Server-sent events `edges`, one a second: how the server is, and a line for each edge. "
                "With `edge`, four a second: all of that edge. The first one tells all that is kept, an hour of it in "
                "steps of ten seconds, the others what is new; who accepts application/json gets the first one alone.",
                "content": {
                    "text/event-stream": {"schema": schema("edges")},
                    "application/json": {"schema": {"type": "object"}},
                },
            },
            **refused(TOKEN_WANTED, VALUE_IMPOSSIBLE, OVERLOADED, STOPPING),
        },
        tags=["watch"],
    )
    async def watch_edges(request: Request, caller: Known, edge: EdgeNumber = None) -> Response:
        """The edges that are connected: newest answers, operating points, capacities, deadlines."""
        deployment.refuse_when_draining()
        deployment.access.may_view(caller)
        if "application/json" in request.headers.get("accept", ""):
            once = await deployment.alone.told(secrets.token_hex(8), edge, View(deployment, edge).news())
            return JSONResponse(once, headers={"Cache-Control": "no-store"})
        return StreamingResponse(events(caller, edge), media_type=MEDIA_TYPE, headers=HEADERS)

    @router.get("/edge/address", include_in_schema=False)
    async def tell_address(request: Request, _: Known) -> JSONResponse:
        return JSONResponse(card(request, deployment.settings), headers={"Cache-Control": "no-store"})

    async def events(caller: Caller, edge: int | None) -> AsyncIterator[str]:
        turns, view, numbers = deployment.access.turns, View(deployment, edge), count(1)
        viewer = secrets.token_hex(8)
        yield RETRY
        with contextlib.suppress(AccessDenied, ServerOverloaded), deployment.access.viewing(caller):
            while not deployment.draining:
                await turns.turn(caller.name)
                began = time.thread_time()
                deployment.access.check(caller, time.monotonic())
                own = view.news()
                turns.worked(caller.name, time.thread_time() - began)
                said = event(next(numbers), "edges", await deployment.alone.told(viewer, edge, own))
                yield said
                await asyncio.sleep(INTERVAL_S if edge is None else CLOSE_INTERVAL_S)

    return router
