"""The protocol over HTTP: JSON, or JSON with the tensors' bytes behind it (its extension for binary data)."""

import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from inference_server.deployment import Deployment
from inference_server.model import Model
from inference_server.open_inference.inference import Asked, about_server, infer, metadata, model_of
from inference_server.open_inference.tensors import BYTES, Tensor, TensorError, from_raw, from_values, to_raw
from inference_server.rest import problems
from inference_server.rest.identity import Known
from inference_server.rest.received import parsed, received
from wire.exceptions import ArtoveqError, ModelMismatch

LENGTH = "Inference-Header-Content-Length"
"""How many of the body's bytes are JSON; those of the tensors follow."""
MOST_DEPTH = 16


class Refusing(APIRoute):
    """What went wrong is a problem as everywhere here, with `error` beside it, where the protocol's clients look."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def refusing(request: Request) -> Response:
            try:
                return await handle(request)
            except ArtoveqError as error:
                return problems.problem_of(error, error=True)
            except RequestValidationError:
                return problems.problem(problems.VALUE_IMPOSSIBLE, f"{LENGTH} is a whole number.", error=True)

        return refusing


def open_inference_routes(deployment: Deployment) -> APIRouter:
    """/v2 and what is below it."""
    router = APIRouter(route_class=Refusing, include_in_schema=False)

    @router.get("/v2")
    async def server_metadata() -> Any:
        return about_server()

    @router.get("/v2/health/live")
    async def is_live() -> Any:
        return {"live": True}

    @router.get("/v2/health/ready")
    async def server_is_ready() -> Response:
        ready = not deployment.leaving
        return JSONResponse({"ready": ready}, 200 if ready else 503)

    @router.get("/v2/models/{name}/ready")
    @router.get("/v2/models/{name}/versions/{version}/ready")
    async def model_is_ready(name: str, version: str = "") -> Response:
        try:
            model_of(deployment, name, version)
            ready = not deployment.leaving
        except ModelMismatch:
            ready = False
        return JSONResponse({"name": name, "ready": ready}, 200 if ready else 503)

    @router.get("/v2/models/{name}")
    @router.get("/v2/models/{name}/versions/{version}")
    async def model_metadata(_: Known, name: str, version: str = "") -> Any:
        return metadata(deployment, model_of(deployment, name, version))

    @router.post("/v2/models/{name}/infer")
    @router.post("/v2/models/{name}/versions/{version}/infer")
    async def model_infer(
        caller: Known,
        request: Request,
        name: str,
        version: str = "",
        json_bytes: Annotated[int | None, Header(alias=LENGTH, ge=0)] = None,
    ) -> Response:
        model = model_of(deployment, name, version)
        async with received(deployment, caller.name, request) as body:
            said, asked = asked_of(body, json_bytes)
            found = await infer(deployment, caller, model, asked)
        return _response(model, said, found)

    return router


def asked_of(body: bytes, json_bytes: int | None) -> tuple[dict[str, Any], Asked]:
    """What a body says, and asks; json_bytes: of it are JSON, the others the tensors' own; None: all.

    Raises:
        TensorError: if it says nothing that can be asked.
    """
    said = _json(body if json_bytes is None else body[:json_bytes])
    return said, _asked(said, b"" if json_bytes is None else body[json_bytes:])


def _json(text: bytes) -> dict[str, Any]:
    try:
        said = parsed(text)
    except ValueError as error:
        raise TensorError(
            f"The body is no JSON that is read here ({error}); with tensors' bytes behind it, a header says how long "
            "it is."
        ) from None
    if not isinstance(said, dict) or not all(
        isinstance(said.get(key, []), list) and all(isinstance(one, dict) for one in said.get(key, []))
        for key in ("inputs", "outputs")
    ):
        raise TensorError("The body is an object with the lists `inputs` and, if wanted, `outputs`.")
    return said


def _asked(said: Mapping[str, Any], binary: bytes) -> Asked:
    tensors, start = list[Tensor](), 0
    for one in said.get("inputs", []):
        name, datatype, shape = str(one.get("name", "")), str(one.get("datatype", "")), one.get("shape", [])
        if not isinstance(shape, list):
            raise TensorError("The shape of a tensor is a list.")
        size = _parameters(one).get("binary_data_size")
        if size is None:
            tensors.append(from_values(name, datatype, shape, _flat(one.get("data", []))))
            continue
        if not isinstance(size, int) or not 0 <= size <= len(binary) - start:
            raise TensorError("The request has fewer bytes behind its JSON than `binary_data_size` says.")
        tensors.append(from_raw(name, datatype, shape, binary[start : start + size]))
        start += size
    return Asked(tensors, _parameters(said), [str(one.get("name", "")) for one in said.get("outputs", [])])


def _parameters(said: Mapping[str, Any]) -> dict[str, Any]:
    found = said.get("parameters", {})
    if not isinstance(found, dict):
        raise TensorError("`parameters` is an object.")
    return found


def _flat(data: Any, depth: int = 0) -> Sequence[Any]:
    if not isinstance(data, list) or depth > MOST_DEPTH:
        raise TensorError("The data of a tensor are a list, flat or as deep as its shape.")
    if not any(isinstance(one, list) for one in data):
        return data
    return [value for row in data for value in _flat(row, depth + 1)]


def _response(model: Model, said: Mapping[str, Any], found: Sequence[Tensor]) -> Response:
    wanted = {str(one.get("name")): _parameters(one) for one in said.get("outputs", [])}
    as_bytes = _parameters(said).get("binary_data_output", False)
    body: dict[str, Any] = {"model_name": model.manifest.name, "model_version": model.manifest.fingerprint}
    if "id" in said:
        body["id"] = said["id"]
    behind, body["outputs"] = b"", []
    for tensor in found:
        one: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        if wanted.get(tensor.name, {}).get("binary_data", as_bytes) is True:
            raw = to_raw(tensor)
            one["parameters"], behind = {"binary_data_size": len(raw)}, behind + raw
        elif tensor.datatype == BYTES:
            one["data"] = [value.decode() for value in tensor.values]  # answers are JSON
        else:
            assert not isinstance(tensor.values, list)
            one["data"] = tensor.values.reshape(-1).tolist()
        body["outputs"].append(one)
    text = json.dumps(body).encode()
    if not behind:
        return Response(text, media_type="application/json")
    return Response(text + behind, headers={LENGTH: str(len(text))}, media_type="application/octet-stream")
