"""The HTTP interface of a deployment: predictions, models, health, metrics, and the page."""

import logging
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from inference_server import metrics
from inference_server.caller_logs import refusals
from inference_server.deployment import Deployment
from inference_server.management import Management
from inference_server.open_inference.routes import open_inference_routes
from inference_server.page.routes import FILES, Page, page_routes
from inference_server.rest import problems
from inference_server.rest.answers import answer_routes
from inference_server.rest.bodies import Health, refused
from inference_server.rest.description import TAGS, Api
from inference_server.rest.guard import Guard
from inference_server.rest.identity import Known, RequestIds, Turns
from inference_server.rest.methods import Methods, allowed
from inference_server.rest.models import model_routes
from inference_server.rest.predictions import prediction_routes
from inference_server.rest.streaming import stream_routes
from inference_server.streams.streams import Streams
from wire.exceptions import ArtoveqError
from wire.request_ids import REQUEST_ID
from wire.shown import shown

SHARED: Any = {"allow_methods": ("GET", "POST"), "allow_headers": ("*",), "expose_headers": (REQUEST_ID, "Retry-After")}
"""What pages of the origins that are named may do. Cookies are of the server's own pages alone."""
UNASKED = refused(problems.TOKEN_WANTED)


def build_app(deployment: Deployment, streams: Streams, management: Management) -> FastAPI:
    """All routes."""
    app = Api(
        title="artoveq",
        version="1",
        summary="Remote inference over links that keep changing.",
        description="Pictures go in whole here. An edge that should save bytes uses the gRPC service.",
        docs_url=None,  # FastAPI's own page takes its scripts from elsewhere
        redoc_url=None,
        openapi_tags=TAGS,
        servers=[{"url": "/"}],
        contact={"name": "Whoever operates this server"},
        license_info={"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        generate_unique_id_function=lambda route: route.name,
    )
    app.add_middleware(Methods, api=app)
    app.add_middleware(Guard, settings=deployment.settings)
    if deployment.settings.http_origins:
        app.add_middleware(CORSMiddleware, allow_origins=deployment.settings.http_origins, **SHARED)
    app.add_middleware(RequestIds)
    app.add_middleware(Turns, deployment=deployment)
    app.add_exception_handler(ArtoveqError, _refuse)
    app.add_exception_handler(RequestValidationError, _explain)
    app.add_exception_handler(HTTPException, _miss)
    app.include_router(prediction_routes(deployment))
    app.include_router(answer_routes(deployment))
    app.include_router(stream_routes(deployment, streams))
    app.include_router(model_routes(deployment, management))
    app.include_router(open_inference_routes(deployment))

    @app.get("/healthz", response_model=Health, tags=["operate"])
    async def is_alive() -> Health:
        """Whether the process lives."""
        return Health(status="ok")

    @app.get("/readyz", response_model=Health, responses={503: {"model": Health}}, tags=["operate"])
    async def is_ready(response: Response) -> Health:
        """Whether the server takes new work."""
        response.status_code = 503 if deployment.leaving else 200
        return Health(status="draining" if deployment.leaving else "ready")

    @app.get(
        "/metrics",
        response_class=Response,
        responses={**UNASKED, 200: {"description": "Text.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
        tags=["operate"],
    )
    async def read_metrics(_: Known) -> Response:
        """Counters in the Prometheus text format."""
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(FILES / "docs.html")

    @app.get("/edge", include_in_schema=False)
    async def edge() -> FileResponse:
        return FileResponse(FILES / "edge.html", headers={"Cache-Control": "no-cache"})

    app.include_router(page_routes(deployment))
    app.openapi()  # else the first request waits while FastAPI makes what answers on each path
    app.router.default = Page()  # not mounted: that would take each path's other methods
    return app


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, ArtoveqError)
    answer = problems.problem_of(error)
    named = {"request_id": request.state.request_id, "path": request.url.path, "status": answer.status_code}
    quiet = answer.status_code in (401, 404, 406, 408, 413, 422)  # what a caller does wrong fills no log
    refusals.log(logging.DEBUG if quiet else logging.INFO, "A request failed: %s", error, extra=named)
    return answer


async def _explain(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = "; ".join(f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}" for e in error.errors())
    return problems.problem(problems.VALUE_IMPOSSIBLE, shown(f"These values are not possible: {found}."))


async def _miss(request: Request, error: Exception) -> Response:
    """A path that is not there, or does not take the method."""
    assert isinstance(error, HTTPException)
    if error.status_code != 405:
        return problems.problem(problems.PATH_UNKNOWN, "There is nothing at this path; see /docs.")
    takes = allowed(request.app, request.url.path)
    detail = f"This path takes {takes}, not {shown(request.method, 20)}."
    return problems.problem(problems.METHOD_UNKNOWN, detail, {"Allow": takes})
