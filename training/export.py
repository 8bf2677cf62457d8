"""A trained model as the files of an artifact: encoder.onnx, decoder.onnx, decoder.pt2."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from training.backbones import BACKBONES
from training.chain import order_of, unmeasured_point, with_chain
from training.codebooks.ops import Dequantiser, from_sub_vectors, segment_of_group, to_sub_vectors
from training.data import Split
from training.interpolation import to_be_measured
from training.model import RateModel
from training.program import BATCH, save_onnx, save_program
from training.recipe import Recipe
from training.views import Batch, as_input
from wire.base import read_base
from wire.exceptions import RecipeError
from wire.manifest import DECODER, ENCODER, TORCH_DECODER, Base, Preprocessing
from wire.pictures import fit_picture


class EdgeHalf(nn.Module):
    """picture uint8 (B, side, side, 3), sizes int32 (S,) to indices int32 (B, M)."""

    segment: Tensor

    def __init__(self, model: RateModel) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("segment", segment_of_group(model.codebook.segments))

    def forward(self, picture: Tensor, sizes: Tensor) -> Tensor:
        latent = self.model.network.encode(picture.permute(0, 3, 1, 2).to(torch.float32) / 255)
        x = to_sub_vectors(latent, self.model.recipe.codebook.d)
        index = self.model.codebook.encode(x, sizes.to(torch.int64)[self.segment])
        return index.reshape(picture.shape[0], -1).to(torch.int32)


class ServerHalf(nn.Module):
    """indices int32 (B, M), sizes int32 (B, S) to the task's output (B, …). Pictures of all points mix in a batch."""

    def __init__(self, model: RateModel) -> None:
        super().__init__()
        self.network = model.network
        self.dequantiser = Dequantiser(*model.codebook.table(), model.codebook.segments)

    def latent(self, indices: Tensor, sizes: Tensor) -> Tensor:
        return from_sub_vectors(self.dequantiser(indices, sizes), self.network.latent_shape)

    def forward(self, indices: Tensor, sizes: Tensor) -> Tensor:
        return self.network.decode(self.latent(indices, sizes))


class AskedServerHalf(ServerHalf):
    """As `ServerHalf`, with questions int32 (B, longest) as a third input."""

    def forward(self, indices: Tensor, sizes: Tensor, questions: Tensor) -> Tensor:  # type: ignore[override]
        return self.network.decode(self.latent(indices, sizes), questions)


class ServerHalfOnBase(ServerHalf):
    """As `ServerHalf`, with tensors of the trunk as the last input, in the order of these names: it holds none."""

    def __init__(self, model: RateModel, tensors: Sequence[str]) -> None:
        super().__init__(model)
        self.tensors, self.network = tensors, copy.deepcopy(model.network)
        for name in tensors:
            self.network.trunk_server.get_parameter(name).data = torch.zeros(1)

    def forward(self, indices: Tensor, sizes: Tensor, weights: list[Tensor]) -> Tensor:  # type: ignore[override]
        return self.answer(self.latent(indices, sizes), weights)

    def answer(self, latent: Tensor, weights: list[Tensor], *further: Tensor) -> Tensor:
        network, given = self.network, dict(zip(self.tensors, weights, strict=True))
        features = functional_call(network.trunk_server, given, (network.given(latent),))
        output: Tensor = network.head(features, *further)
        return output


class AskedServerHalfOnBase(ServerHalfOnBase):
    """As `ServerHalfOnBase`, with questions int32 (B, longest) as the third input."""

    def forward(  # type: ignore[override]
        self, indices: Tensor, sizes: Tensor, questions: Tensor, weights: list[Tensor]
    ) -> Tensor:
        return self.answer(self.latent(indices, sizes), weights, questions)


class UnquantisedHalves(nn.Module):
    """The whole network without its quantiser; only measured, never shipped."""

    def __init__(self, model: RateModel) -> None:
        super().__init__()
        self.network = model.network

    def forward(self, picture: Tensor, questions: Tensor | None = None) -> Tensor:
        """picture uint8 (B, side, side, 3), questions int32 (B, Q, longest) where the task asks."""
        pictures, further = (
            picture.permute(0, 3, 1, 2).to(torch.float32) / 255,
            () if questions is None else (questions,),
        )
        return self.network.decode(self.network.encode(pictures), *further)


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


def export_files(model: RateModel) -> dict[str, bytes]:
    """The files of the artifact but for the manifest, by name.

    Raises:
        RecipeError: if the model is of a kind that cannot be served.
    """
    check_exportable(model.recipe)
    model = model.cpu().eval()
    side, largest, segments = model.recipe.picture, model.codebook.largest, len(model.codebook.segments)
    picture = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    sizes = torch.full((segments,), largest, dtype=torch.int32)
    edge, base, output = EdgeHalf(model).eval(), base_of(model), model.task.output
    names, asks = ["indices", "sizes", "questions"][: 3 if model.task.asks else 2], model.task.asks
    example: tuple[Any, ...] = (
        torch.zeros(2, model.sub_vectors, dtype=torch.int32),
        sizes.expand(2, -1).clone(),
        *model.network.blank_further(2),
    )
    axes: tuple[Any, ...] = (BATCH,) * len(example)
    behind = _without_edge(model)
    server = AskedServerHalf(behind) if asks else ServerHalf(behind)
    if base is not None:
        weights = [model.network.trunk_server.get_parameter(name).detach() for name in base.tensors]
        names, axes, example = [*names, *base.tensors], (*axes, [None] * len(weights)), (*example, weights)
        server = (AskedServerHalfOnBase if asks else ServerHalfOnBase)(behind, base.tensors)
    return {
        ENCODER: save_onnx(edge, (picture, sizes), ["picture", "sizes"], "indices", (BATCH, None)),
        DECODER: save_onnx(server.eval(), example, names, output, axes),
        TORCH_DECODER: save_program(server.eval(), example, axes),
    }


def _without_edge(model: RateModel) -> RateModel:
    """A copy that can only decode: a program holds every weight of its module."""
    copied = copy.deepcopy(model)
    copied.network.trunk_edge = copied.network.bottleneck = nn.Identity()
    return copied


def base_of(model: RateModel) -> Base | None:
    """The base weights that the artifact names in place of holding them: the server half's, where they were kept.

    None where it was trained, or where what was kept is from another file.

    Raises:
        ArtifactError: if the base is not installed.
    """
    base = BACKBONES[model.recipe.network.backbone].base
    if base is None or not model.recipe.network.lora:
        return None
    published = read_base(base)
    kept = {name: p for name, p in model.network.trunk_server.named_parameters() if not p.requires_grad}
    if any(not np.array_equal(p.numpy(force=True), published[name]) for name, p in kept.items()):
        return None
    return base.model_copy(update={"tensors": tuple(kept)})


def manifest_values(model: RateModel, recipe: Recipe, minutes: float, classes: Sequence[str]) -> dict[str, Any]:
    """What the manifest says of a model before it is measured: every figure is 0.

    A refinable model has the planes that it was trained for; or its points for planes, of all segments at once,
    which `training.chain.with_chain` makes finer.
    """
    codebook, shape = model.codebook, model.network.latent_shape
    sub_vectors = [groups * shape[1] * shape[2] for groups in codebook.segments]
    every = {"segments": list(range(len(sub_vectors))), "payload_bytes": (sum(sub_vectors) + 7) // 8}
    points = [unmeasured_point(sub_vectors, sizes) for sizes in codebook.points()]
    points.sort(key=lambda point: point["payload_bytes"])
    values = {
        "name": recipe.name,
        "profile": recipe.network.profile,
        "family": recipe.codebook.family,
        "dataset": recipe.dataset,
        "latent": {"shape": list(shape), "d": recipe.codebook.d},
        "segments": list(codebook.segments),
        "largest_size": codebook.largest,
        "any_size": codebook.any_size,
        "points": to_be_measured(points) if codebook.any_size else points,
        "planes": [every] * len(points) if codebook.refinable else [],
        "task": {
            "name": recipe.task,
            "metric": model.task.metric,
            **model.task.manifest(classes, model.network.questions),
        },
        "backbone": {"name": recipe.network.backbone, "cut": recipe.network.cut, **model.network.operations()},
        "preprocessing": Preprocessing(size=recipe.picture).model_dump(),
        "unquantised_metric": 0.0,
        "recipe": {**recipe.model_dump(mode="json"), "minutes": round(minutes, 1), "hardware": hardware()},
    }
    base = base_of(model)
    if base is not None:
        values["base"] = base.model_dump(mode="json")
    return with_chain(values, order_of(codebook.prefixes())) if recipe.stage3.decoded == "chain" else values


@torch.no_grad()
def folded_codewords(model: RateModel) -> NDArray[np.float32] | None:
    """The codewords of the largest size, (G, L, d), whose counts are folded for smaller ones (`wire.folded`).

    None where sizes are powers of two, or a smaller codebook is anything but the first rows of the largest.
    """
    table, starts = model.codebook.table()
    first = int(starts[-1])
    if not model.codebook.any_size or bool((starts[2:] != first).any()):
        return None
    found: NDArray[np.float32] = table[:, first:].numpy(force=True)
    return found


def hardware() -> str:
    """What this machine trains on."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} CPU cores"


def fitted_batches(model: RateModel, split: Split) -> Iterator[Batch]:
    """The pictures of a split as they are at inference."""
    for start in range(0, len(split), 64):
        rows = range(start, min(start + 64, len(split)))
        fitted = np.stack([fit_picture(split.picture(i), model.recipe.picture) for i in rows])
        pictures = as_input(torch.from_numpy(fitted).permute(0, 3, 1, 2))
        asked = None if split.asked is None else torch.from_numpy(split.asked[rows.start : rows.stop])
        yield Batch(pictures, torch.from_numpy(split.labels[rows.start : rows.stop]), questions=asked)


@torch.no_grad()
def unquantised_metric(model: RateModel, split: Split) -> float:
    """The task's metric of the whole network without its quantiser, exported and run like the parts that ship."""
    size, output = model.recipe.picture, model.task.output
    example = [torch.zeros(2, size, size, 3, dtype=torch.uint8)]
    example += [] if split.asked is None else [torch.zeros(2, *split.asked.shape[1:], dtype=torch.int32)]
    names, axes = ["picture", "questions"][: len(example)], (BATCH,) * len(example)
    file = save_onnx(UnquantisedHalves(model).eval(), tuple(example), names, output, axes)
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    scores = []
    for batch in fitted_batches(model, split):
        fitted = (batch.pictures * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        given = dict(zip(names, (one.numpy() for one in (fitted, *batch.further)), strict=True))
        scores.append(model.task.score(torch.from_numpy(session.run([output], given)[0]), batch))
    return float(torch.cat(scores).mean())
