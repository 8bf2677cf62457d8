"""The HTTP interface of a deployment: predictions, models, health, metrics, and the page."""

import logging
from math import ceil
from typing import Annotated

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from inference_server.access import Caller
from inference_server.caller_logs import refusals
from inference_server.deployment import Deployment
from inference_server.page.routes import FILES, Page, page_routes
from inference_server.rest.bodies import ERRORS, Health, ModelName, ModelSummary
from inference_server.rest.guard import Guard
from inference_server.rest.identity import RequestIds, Turns, caller_of
from inference_server.rest.predictions import NotAcceptable, prediction_routes
from inference_server.uploads import UploadTooLarge, UploadTooSlow
from wire.exceptions import (
    AccessDenied,
    ArtoveqError,
    ModelMismatch,
    PictureError,
    PointError,
    ServerOverloaded,
    ServerUnavailable,
)
from wire.manifest import Manifest
from wire.shown import shown

STATUS: tuple[tuple[type[ArtoveqError], int], ...] = (
    (UploadTooLarge, 413),
    (UploadTooSlow, 408),
    (NotAcceptable, 406),
    (PictureError, 422),
    (PointError, 422),
    (AccessDenied, 401),
    (ModelMismatch, 404),
    (ServerOverloaded, 429),
    (ServerUnavailable, 503),
)


def build_app(deployment: Deployment) -> FastAPI:
    """All routes."""
    app = FastAPI(
        title="artoveq",
        version="1",
        summary="Remote inference over links that keep changing.",
        description="Pictures go in whole here. An edge that should save bytes uses the gRPC service.",
        docs_url=None,  # FastAPI's own page takes its scripts from elsewhere
        redoc_url=None,
    )
    app.add_middleware(Guard, settings=deployment.settings)
    app.add_middleware(RequestIds)
    app.add_middleware(Turns, deployment=deployment)
    app.add_exception_handler(ArtoveqError, _refuse)
    app.add_exception_handler(RequestValidationError, _explain)
    caller = caller_of(deployment)
    app.include_router(prediction_routes(deployment, caller))
    Known = Annotated[Caller, Depends(caller)]  # noqa: N806

    @app.get("/v1/models", response_model=list[ModelSummary], tags=["model"])
    async def models(_: Known) -> list[ModelSummary]:
        """The models that are served; the first one is taken where none is named."""
        return [
            ModelSummary(
                name=one.manifest.name,
                fingerprint=one.manifest.fingerprint,
                task=one.manifest.task.name,
                points=len(one.manifest.points),
                refinable=one.manifest.refinable,
            )
            for one in deployment.models
        ]

    @app.get("/v1/model", response_model=Manifest, responses={404: ERRORS[404]}, tags=["model"])
    async def model(_: Known, model: ModelName = "") -> Manifest:
        """The manifest of a model."""
        return deployment.models.named(model).manifest

    @app.get("/healthz", response_model=Health, tags=["operate"])
    async def healthz() -> Health:
        """Whether the process lives."""
        return Health(status="ok")

    @app.get("/readyz", response_model=Health, responses={503: {"model": Health}}, tags=["operate"])
    async def readyz(response: Response) -> Health:
        """Whether the server takes new work."""
        response.status_code = 503 if deployment.leaving else 200
        return Health(status="draining" if deployment.leaving else "ready")

    @app.get("/metrics", response_class=Response, tags=["operate"])
    async def prometheus(_: Known) -> Response:
        """Counters in the Prometheus text format."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(FILES / "docs.html")

    app.include_router(page_routes(deployment))
    app.mount("/", Page(directory=FILES, html=True))
    return app


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    status = next((code for kind, code in STATUS if isinstance(error, kind)), 500)
    named = {"request_id": request.state.request_id, "path": request.url.path, "status": status}
    quiet = status in (401, 404, 406, 408, 413, 422)  # what a caller does wrong fills no log
    refusals.log(logging.DEBUG if quiet else logging.INFO, "A request failed: %s", error, extra=named)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if status in (429, 503):
        headers["Retry-After"] = str(max(1, ceil(error.retry_after)) if isinstance(error, ServerOverloaded) else 1)
    return JSONResponse({"detail": shown(str(error))}, status, headers)


async def _explain(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = "; ".join(f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}" for e in error.errors())
    return JSONResponse({"detail": f"These values are not possible: {found}."}, 422)
