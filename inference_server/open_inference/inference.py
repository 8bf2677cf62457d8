"""What a request asks of a model, and the tensors that answer it, however they came."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np

from inference_server.access import Caller
from inference_server.answers import Decoded, answer_message
from inference_server.deployment import Deployment
from inference_server.model import Model
from inference_server.open_inference.tensors import BYTES, Tensor, TensorError
from wire.exceptions import ModelMismatch
from wire.manifest import Manifest
from wire.payload import Indices
from wire.shown import shown
from wire.tasks import RECONSTRUCTION

PICTURE, INDICES = "picture", "indices"
OUTPUT, ANSWER = "output", "answer"
MOST_PICTURES = 64
"""Of one request: they are decoded together, and all are in memory at once."""
PLATFORM = "artoveq"


@dataclass(frozen=True)
class Asked:
    """A request. outputs: names; empty: all of them."""

    inputs: Sequence[Tensor]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    outputs: Sequence[str] = ()


def about_server() -> dict[str, Any]:
    """As both forms say it."""
    return {"name": PLATFORM, "version": version("artoveq"), "extensions": ["binary_tensor_data"]}


def model_of(deployment: Deployment, name: str, fingerprint: str) -> Model:
    """The current version of this name, or the one of this fingerprint.

    Raises:
        ModelMismatch: if it is not served.
    """
    if not fingerprint:
        return deployment.models.named(name)
    model = deployment.models.of_fingerprint(fingerprint)
    if name and name != model.manifest.name:
        raise ModelMismatch(f"The version {fingerprint[:12]} is of {model.manifest.name}, not of {shown(name, 40)}.")
    return model


def metadata(deployment: Deployment, model: Model) -> dict[str, Any]:
    """As both forms say it: versions with the current one first, tensors, and as properties the operating points."""
    manifest, current = model.manifest, deployment.models.rollout(model).current
    versions = [one.manifest.fingerprint for one in deployment.models if one.manifest.name == manifest.name]
    points = [
        {"point": number, "payload_bytes": point.payload_bytes, manifest.task.metric: point.metric}
        for number, point in enumerate(manifest.points, 1)
    ]
    return {
        "name": manifest.name,
        "versions": sorted(versions, key=lambda one: one != current),
        "platform": PLATFORM,
        "inputs": [
            {"name": PICTURE, "datatype": BYTES, "shape": [-1]},
            {"name": INDICES, "datatype": "INT32", "shape": [-1, manifest.sub_vectors]},
        ],
        "outputs": [
            {"name": OUTPUT, "datatype": "FP32", "shape": _output_shape(manifest)},
            {"name": ANSWER, "datatype": BYTES, "shape": [-1]},
        ],
        "properties": {
            "fingerprint": manifest.fingerprint,
            "task": manifest.task.name,
            "points": json.dumps(points, separators=(",", ":")),
        },
    }


async def infer(deployment: Deployment, caller: Caller, model: Model, asked: Asked) -> list[Tensor]:
    """The tensors that were asked for, a row for each picture.

    Raises:
        TensorError: if the inputs are not those of the model.
        PointError: if it does not have the operating point.
        PictureError: if a file is no picture.
        ServerOverloaded: if there is no room, or the caller's rate does not allow it.
    """
    outputs = asked.outputs or (OUTPUT, ANSWER)
    if unknown := [name for name in outputs if name not in (OUTPUT, ANSWER)]:
        raise TensorError(f"There is no output {shown(unknown[0], 40)!r}; there are {OUTPUT} and {ANSWER}.")
    point = _point(model.manifest, asked.parameters)
    if len(asked.inputs) != 1:
        raise TensorError(f"Give one input: {PICTURE}, files, or {INDICES}; these are {len(asked.inputs)}.")
    (tensor,) = asked.inputs
    files, indices = _pictures(tensor), _indices(model, tensor, point)
    for _ in files or indices:
        deployment.admit(caller)

    async def one(number: int) -> Decoded:
        found = indices[number] if indices else await model.encode(caller.name, files[number], point)
        return await deployment.decode(model, caller, point, found)

    decoded = await asyncio.gather(*(one(number) for number in range(len(files or indices))))
    for _ in decoded:
        model.count(point)
    made = {
        OUTPUT: lambda: Tensor(OUTPUT, np.stack([one.output for one in decoded])),
        ANSWER: lambda: Tensor(ANSWER, [_described(model, one) for one in decoded]),
    }
    return [made[name]() for name in dict.fromkeys(outputs)]


def _described(model: Model, decoded: Decoded) -> bytes:
    value = model.task.read(answer_message(decoded, model.task, model.manifest, len(model.manifest.task.classes)))
    return json.dumps(model.task.describe(value)).encode()


def _point(manifest: Manifest, parameters: Mapping[str, Any]) -> int:
    """By the parameter `point`; the best one where there is none."""
    number = parameters.get("point", len(manifest.points))
    if not isinstance(number, int) or isinstance(number, bool):
        raise TensorError(f"The parameter `point` is a whole number, from 1 to {len(manifest.points)}.")
    manifest.point(number)
    return number


def _pictures(tensor: Tensor) -> list[bytes]:
    if tensor.name != PICTURE:
        return []
    if not isinstance(tensor.values, list):
        raise TensorError(f"The input {PICTURE!r} is of the type {BYTES}: files, JPEG, PNG or WebP.")
    _check_count(len(tensor.values))
    return tensor.values


def _indices(model: Model, tensor: Tensor, point: int) -> list[Indices]:
    if tensor.name == PICTURE:
        return []
    count = model.manifest.sub_vectors
    if tensor.name != INDICES:
        raise TensorError(f"There is no input {shown(tensor.name, 40)!r}; there are {PICTURE} and {INDICES}.")
    found = tensor.values
    if isinstance(found, list) or found.dtype.kind not in "iu" or found.ndim != 2 or found.shape[1] != count:
        raise TensorError(f"The input {INDICES!r} holds whole numbers, of the shape [pictures, {count}].")
    _check_count(len(found))
    sizes = model.codec.sub_vector_sizes(point)
    if (found < 0).any() or (found >= sizes).any():
        raise TensorError(f"The input {INDICES!r} has numbers beyond the codebook sizes of point {point}.")
    return list(found.astype(np.int32))


def _check_count(pictures: int) -> None:
    if not 1 <= pictures <= MOST_PICTURES:
        raise TensorError(f"A request has 1 to {MOST_PICTURES} pictures, not {pictures}.")


def _output_shape(manifest: Manifest) -> list[int]:
    side = manifest.preprocessing.size
    return [-1, 3, side, side] if manifest.task.name == RECONSTRUCTION else [-1, len(manifest.task.classes)]
