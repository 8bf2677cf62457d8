"""The models: which there are, their files, and, for who may, which of them edges get."""

import time
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from inference_server.access import Caller
from inference_server.deployment import Deployment
from inference_server.management import Management
from inference_server.model import Model
from inference_server.rest import problems
from inference_server.rest.bodies import BINARY, ModelName, ModelSummary, refused
from inference_server.rest.identity import Known
from inference_server.versions import Fingerprint
from wire.manifest import Manifest

FOR_GOOD = "private, max-age=31536000, immutable"
"""A model's files stay as they are as long as its fingerprint does."""
MANAGED = refused(
    problems.TOKEN_WANTED,
    problems.NOT_MANAGED,
    problems.MODEL_UNKNOWN,
    problems.VERSION_IN_USE,
    problems.VALUE_IMPOSSIBLE,
    problems.NOT_KEPT,
    problems.OVERLOADED,
)


class Addition(BaseModel):
    """An artifact's folder, as the server sees it."""

    folder: Annotated[str, Field(min_length=1, max_length=4096, pattern="^[^\\x00]+$")]


class Promotion(BaseModel):
    """A version, and the share of the edges that get it; 1: it is current."""

    fingerprint: Fingerprint
    share: Annotated[float, Field(gt=0, le=1)] = 1.0


class Removal(BaseModel):
    """A version."""

    fingerprint: Fingerprint


class Rollback(BaseModel):
    """The name of a model."""

    name: Annotated[str, Field(min_length=1, max_length=200)]


def model_routes(deployment: Deployment, management: Management) -> APIRouter:
    """/v1/models, /v1/model, /v1/promotions, /v1/rollbacks and /v1/removals."""
    router = APIRouter(tags=["model"])

    async def admin(request: Request) -> Caller:
        """By the header alone: a browser sends cookies for pages of anybody."""
        return management.admin(request.headers.get("authorization"), time.monotonic())

    Admin = Annotated[Caller, Depends(admin)]  # noqa: N806

    def summary(model: Model) -> ModelSummary:
        manifest, rollout = model.manifest, deployment.models.rollout(model)
        return ModelSummary(
            name=manifest.name,
            fingerprint=manifest.fingerprint,
            task=manifest.task.name,
            points=len(manifest.points),
            refinable=manifest.refinable,
            current=rollout.current == manifest.fingerprint,
            share=round(rollout.share(manifest.fingerprint), 6),
            streams=model.streams,
            pictures=model.pictures,
            loaded=model.loaded,
            memory_bytes=model.memory_bytes,
        )

    @router.get("/v1/models", response_model=list[ModelSummary], responses=refused(problems.TOKEN_WANTED))
    async def list_models(_: Known) -> list[ModelSummary]:
        """The models that are served, each version of each name; the first name is taken where none is given."""
        return [summary(one) for one in deployment.models]

    @router.get(
        "/v1/model",
        response_model=Manifest,
        responses=refused(problems.TOKEN_WANTED, problems.MODEL_UNKNOWN, problems.VALUE_IMPOSSIBLE),
    )
    async def describe_model(_: Known, model: ModelName = "") -> Manifest:
        """The manifest of a model."""
        return deployment.models.named(model).manifest

    @router.get(
        "/v1/models/{fingerprint}/files/{name}",
        response_class=Response,
        responses={
            **refused(problems.TOKEN_WANTED, problems.MODEL_UNKNOWN, problems.FILE_UNKNOWN, problems.VALUE_IMPOSSIBLE),
            200: {
                "description": "The file, whose SHA-256 the manifest has.",
                "content": {"application/octet-stream": {"schema": BINARY}},
            },
            304: {"description": "It is as it was."},
        },
    )
    async def fetch_file(_: Known, request: Request, fingerprint: str, name: str) -> Response:
        """A file of the model that an edge needs: manifest.json, encoder.onnx, or entropy.u16 where there is one."""
        model = deployment.models.of_fingerprint(fingerprint)
        data, headers = model.edge_file(name), {"ETag": f'"{fingerprint}"', "Cache-Control": FOR_GOOD}
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(data, headers=headers, media_type="application/octet-stream")

    @router.post(
        "/v1/models",
        status_code=201,
        response_model=ModelSummary,
        responses={**MANAGED, **refused(problems.VALUE_IMPOSSIBLE, problems.ARTIFACT_UNREADABLE)},
    )
    async def add_model(_: Admin, addition: Addition) -> ModelSummary:
        """Loads a folder. Edges get it once it is promoted; of a name that is new, or with ARTOVEQ_VERSIONS=latest, at
        once."""
        return summary(await management.add(Path(addition.folder)))

    @router.post("/v1/removals", response_class=Response, status_code=204, responses=MANAGED)
    async def remove_model(_: Admin, removal: Removal) -> Response:
        """Unloads a version that edges do not get any more; its streams end once their pictures are answered."""
        await management.remove(removal.fingerprint)
        return Response(status_code=204)

    @router.post("/v1/promotions", response_model=ModelSummary, responses=MANAGED)
    async def promote_model(_: Admin, promotion: Promotion) -> ModelSummary:
        """Gives a version to a share of the edges, always the same ones, or to all. Edges are told, and fetch it."""
        return summary(await management.promote(promotion.fingerprint, promotion.share))

    @router.post("/v1/rollbacks", response_model=ModelSummary, responses=MANAGED)
    async def roll_model_back(_: Admin, rollback: Rollback) -> ModelSummary:
        """Ends the canary of a name; where there is none, goes back to the version that was current before."""
        return summary(await management.roll_back(rollback.name))

    return router
