"""A trained model as the files of an artifact: encoder.onnx, decoder.onnx, decoder.pt2."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import Tensor, nn

from training.codebooks import from_sub_vectors, lookup, to_sub_vectors
from training.data import Split
from training.model import RateModel
from training.recipe import Recipe
from wire.artifact import DECODER, ENCODER, TORCH_DECODER, Preprocessing
from wire.bitplanes import plane_bytes
from wire.exceptions import RecipeError
from wire.pictures import fit_picture

OPSET = 18


class EdgeHalf(nn.Module):
    """picture uint8 (B, S, S, 3), level int64 () to indices uint8 (B, M)."""

    def __init__(self, model: RateModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, picture: Tensor, level: Tensor) -> Tensor:
        latent = self.model.network.encode(picture.permute(0, 3, 1, 2).to(torch.float32) / 255)
        x = to_sub_vectors(latent, self.model.recipe.codebook.d)
        index = self.model.codebook.encode(x, level)
        return index.reshape(picture.shape[0], -1).to(torch.uint8)


class ServerHalf(nn.Module):
    """indices uint8 (B, M), levels int64 (B,) to logits (B, classes). Pictures of all levels mix in a batch."""

    table: Tensor
    starts: Tensor

    def __init__(self, model: RateModel) -> None:
        super().__init__()
        network = model.network
        self.shape = network.latent_shape
        self.groups = self.shape[0] // model.recipe.codebook.d
        self.network = network
        table, starts = model.codebook.table()
        self.register_buffer("table", table.detach().clone())
        self.register_buffer("starts", starts)

    def forward(self, indices: Tensor, levels: Tensor) -> Tensor:
        positions = indices.shape[1] // self.groups
        index = indices.to(torch.int64).reshape(-1, self.groups)
        vectors = lookup(self.table, self.starts, index, levels.repeat_interleave(positions))
        return self.network.decode(from_sub_vectors(vectors, self.shape))


class UnquantisedHalves(nn.Module):
    """The whole network without its quantiser; only measured, never shipped."""

    def __init__(self, model: RateModel) -> None:
        super().__init__()
        self.network = model.network

    def forward(self, picture: Tensor) -> Tensor:
        pictures = picture.permute(0, 3, 1, 2).to(torch.float32) / 255
        return self.network.decode(self.network.encode(pictures))


def check_exportable(recipe: Recipe) -> None:
    """Asked before a long training, not after it.

    Raises:
        RecipeError: if what it makes cannot be served.
    """
    if recipe.network.norm == "whole batch":
        raise RecipeError(
            "A model normalised over the whole batch answers differently in other company, so it is not exported; "
            'set network.norm = "running".'
        )
    if recipe.codebook.family == "mixed":
        raise RecipeError(
            "The wire carries one level for all segments, so a mixed-resolution model is not exported; "
            "`python -m benchmarks.accuracy rerun` measures it."
        )


def export_files(model: RateModel) -> dict[str, bytes]:
    """The files of the artifact but for the manifest, by name.

    Raises:
        RecipeError: if the model is of a kind that cannot be served.
    """
    check_exportable(model.recipe)
    model = model.cpu().eval()
    size, m = model.recipe.picture, model.sub_vectors
    batch = torch.export.Dim("batch")
    # Traced with two pictures: one would freeze the batch axis.
    picture = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    level = torch.tensor(max(model.codebook.levels))
    indices, levels = torch.zeros(2, m, dtype=torch.uint8), level.repeat(2)
    server = ServerHalf(model).eval()
    axis = {0: batch}
    program = torch.export.export(server, (indices, levels), dynamic_shapes=(axis, axis))
    program._example_inputs = None  # torch would store them as a pickle
    archive = io.BytesIO()
    torch.export.save(program, archive)
    return {
        ENCODER: _onnx(EdgeHalf(model).eval(), (picture, level), ["picture", "level"], "indices", (axis, None)),
        DECODER: _onnx(server, (indices, levels), ["indices", "levels"], "logits", (axis, axis)),
        TORCH_DECODER: archive.getvalue(),
    }


def _onnx(module: nn.Module, inputs: tuple[Tensor, ...], names: list[str], output: str, shapes: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            module,
            inputs,
            str(path),
            dynamo=True,
            opset_version=OPSET,
            input_names=names,
            output_names=[output],
            dynamic_shapes=shapes,
            external_data=False,
            optimize=True,
            verbose=False,
        )
        graph = onnx.load(str(path))
    # Names and stack traces of the exporting machine do not belong into an artifact.
    for node in graph.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in graph.graph.value_info:
        del value.metadata_props[:]
    del graph.metadata_props[:]
    del graph.graph.metadata_props[:]
    onnx.checker.check_model(graph, full_check=True)
    return graph.SerializeToString()


def manifest_values(model: RateModel, recipe: Recipe, minutes: float, classes: tuple[str, ...]) -> dict[str, Any]:
    """What the manifest says of a model before it is measured: every figure is 0."""
    m = model.sub_vectors
    codebook = model.codebook
    return {
        "name": recipe.name,
        "profile": recipe.network.profile,
        "family": recipe.codebook.family,
        "prefix_consistent": codebook.prefix_consistent,
        "dataset": recipe.dataset,
        "d": recipe.codebook.d,
        "sub_vectors": m,
        "max_level": max(codebook.levels),
        "latent_shape": list(model.network.latent_shape),
        "preprocessing": Preprocessing(size=recipe.picture).model_dump(),
        "classes": list(classes),
        "unquantised_top1": 0.0,
        "levels": [{"level": l, "payload_bytes": l * plane_bytes(m), "top1": 0.0} for l in codebook.levels],
        "recipe": {**recipe.model_dump(mode="json"), "minutes": round(minutes, 1), "hardware": hardware()},
    }


def hardware() -> str:
    """What this machine trains on."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} CPU cores"


@torch.no_grad()
def unquantised_top1(model: RateModel, split: Split) -> float:
    """Top-1 of the whole network without its quantiser, exported and run like the parts that ship."""
    size = model.recipe.picture
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    file = _onnx(UnquantisedHalves(model).eval(), (example,), ["picture"], "logits", ({0: torch.export.Dim("batch")},))
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    right = 0
    for start in range(0, len(split), 64):
        labels = split.labels[start : start + 64]
        pictures = [fit_picture(split.picture(i), size) for i in range(start, start + len(labels))]
        (logits,) = session.run(["logits"], {"picture": np.stack(pictures)})
        right += int((logits.argmax(1) == labels).sum())
    return right / len(split)
