"""A trained language model as an artifact: the picture's half as it was exported, and programs for what answers.

decoder.pt2   indices, sizes ─▶ what the language model sees of the picture
adapters.pt2  tensors of the base ─▶ the same, with what was trained added; once, when the model is loaded
layer.pt2     some tokens, what came before, a layer's tensors ─▶ what the next layer is given; for every layer
words.pt2     the last token behind all layers ─▶ logits of the one that comes next

So the artifact holds only what was trained: the base is a package, which the manifest names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor, nn
from torch.func import functional_call

from training.codebooks.ops import Dequantiser, from_sub_vectors
from training.data import Split
from training.export import hardware
from training.language.model import HEADS, SHARED, LanguageModel, placed
from training.language.recipe import LANGUAGE_MODELS, LanguageRecipe
from training.language.training import Pair, asked_of, trained
from training.lora import LowRank
from training.model import RateModel
from training.program import save_program
from training.recipe import checked_recipe
from wire.artifact import Artifact, load_artifact, read_file, write_artifact
from wire.base import read_base
from wire.exceptions import UsageError
from wire.manifest import ADAPTERS, ENCODER, LAYER, TABLES, TORCH_DECODER, WORDS

FIRST = "blk.0."
"""How the names of the first layer's tensors begin."""
LONGEST = 48
"""Tokens of an answer: three times as many as the longest of those that are trained."""
PICTURES = 100
"""Test pictures that are asked about to measure a point."""
LENGTH = torch.export.Dim.DYNAMIC
console = Console(stderr=True)


class Seen(nn.Module):
    """indices int32 (B, M), sizes int32 (B, S) to what the language model sees (B, N, width)."""

    def __init__(self, picture: RateModel, projector: nn.Module) -> None:
        super().__init__()
        self.shape = picture.network.latent_shape
        self.dequantiser = Dequantiser(*picture.codebook.table(), picture.codebook.segments)
        self.layers = nn.Sequential(picture.network.expand, picture.network.trunk_server, projector)

    def forward(self, indices: Tensor, sizes: Tensor) -> Tensor:
        seen: Tensor = self.layers(from_sub_vectors(self.dequantiser(indices, sizes), self.shape))
        return seen


class Adapted(nn.Module):
    """Tensors of the base, in the order of these names, to the same, with what was trained added to some."""

    def __init__(self, language: LanguageModel, tensors: Sequence[str]) -> None:
        super().__init__()
        layers = {name: layer for name, layer in language.named_modules() if isinstance(layer, LowRank)}
        self.rows = [tensors.index(f"{name}.weight") for name in layers]
        self.down = nn.ParameterList(layer.down for layer in layers.values())
        self.up = nn.ParameterList(layer.up for layer in layers.values())

    def forward(self, weights: list[Tensor]) -> list[Tensor]:
        found = list(weights)
        for row, up, down in zip(self.rows, self.up, self.down, strict=True):
            found[row] = found[row] + up @ down
        return found


class Layer(nn.Module):
    """A layer, whichever: it holds none of its tensors. T tokens behind P others, to what the next layer is given.

    x (T, width), keys and values before (2, P, heads · d), tensors, to (T, width) and all keys and values
    (2, P + T, heads · d). names: of the tensors within a layer.
    """

    def __init__(self, language: LanguageModel, names: Sequence[str]) -> None:
        super().__init__()
        self.layer, self.names = _empty(language.blk[0]), names

    def forward(self, x: Tensor, before: Tensor, weights: list[Tensor]) -> tuple[Tensor, Tensor]:
        x, given = x[None], dict(zip(self.names, weights, strict=True))
        k, v = before[:, None].unflatten(-1, (HEADS // SHARED, -1)).transpose(2, 3)
        found, kept = functional_call(self.layer, given, (x, *placed(x, before.shape[1]), (k, v)))
        return found[0], torch.cat(kept).transpose(1, 2).flatten(2)


class Words(nn.Module):
    """What the last layer gives of a token (width,), the last norm's tensor and the embedding, to logits (words,)."""

    def __init__(self, language: LanguageModel) -> None:
        super().__init__()
        self.norm = _empty(language.output_norm)

    def forward(self, x: Tensor, norm: Tensor, embedding: Tensor) -> Tensor:
        normed: Tensor = functional_call(self.norm, {"weight": norm}, (x,))
        return F.linear(normed, embedding)


def _empty(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        parameter.data = torch.zeros(1)
    return module


def export(recipe: LanguageRecipe, runs: Path, train: Split, test: Split, models: Path) -> Artifact:
    """Exports what was trained in `runs` beside the picture's model, which is in the folder `models` already.

    Raises:
        UsageError: if that is not there, or of another recipe.
        TrainingError: if the training has not come to its end.
    """
    picture = _picture_of(recipe, models)
    pair, minutes = trained(recipe, train, runs)
    base = LANGUAGE_MODELS[recipe.language_model]
    weights = {name: torch.from_numpy(tensor) for name, tensor in read_base(base).items()}
    files = {name: read_file(picture.folder, name) for name in (ENCODER, TABLES) if picture.has(name)}
    values = {
        **picture.manifest.model_dump(mode="json", exclude={"format_version", "files", "fingerprint", "codec"}),
        **figures(pair, picture, test),
        "name": recipe.name,
        "recipe": {**recipe.model_dump(mode="json"), "minutes": round(minutes, 1), "hardware": hardware()},
        "base": {**base.model_dump(mode="json"), "tensors": list(weights)},
    }
    values["task"] = {"name": values["task"]["name"], "metric": values["task"]["metric"]}
    values["task"]["free_text"] = {"longest": LONGEST}
    return write_artifact(models / recipe.name, values, {**files, **programs(pair, weights)})


def programs(pair: Pair, weights: dict[str, Tensor]) -> dict[str, bytes]:
    """The files of what answers; weights: of the base, float32, in the order in which the programs take them."""
    picture, language = pair.picture.cpu().eval(), pair.speaker.language
    sizes = torch.full((2, len(picture.codebook.segments)), picture.codebook.largest, dtype=torch.int32)
    seen = Seen(picture, pair.speaker.projector).float().eval()
    example = torch.zeros(2, picture.sub_vectors, dtype=torch.int32), sizes
    return {TORCH_DECODER: save_program(seen, example), **language_programs(language, weights)}


def language_programs(language: LanguageModel, weights: dict[str, Tensor]) -> dict[str, bytes]:
    """Those of the language model alone."""
    tensors, fixed = list(weights.values()), [None] * len(weights)
    of_layer = {name.removeprefix(FIRST): tensor for name, tensor in weights.items() if name.startswith(FIRST)}
    plain, axes = LanguageModel(weights), ({0: LENGTH}, {1: LENGTH}, [None] * len(of_layer))
    x, before = torch.zeros(3, plain.width), torch.zeros(2, 4, plain.width // SHARED)
    ends = torch.zeros(plain.width), weights["output_norm.weight"], weights["token_embd.weight"]
    return {
        ADAPTERS: save_program(Adapted(language, tuple(weights)).float().eval(), (tensors,), (fixed,)),
        LAYER: save_program(Layer(plain, tuple(of_layer)).eval(), (x, before, list(of_layer.values())), axes),
        WORDS: save_program(Words(plain).eval(), ends, (None, None, None)),
    }


def figures(pair: Pair, picture: Artifact, test: Split) -> dict[str, Any]:
    """The manifest's points, as often right word for word as on some test pictures: the levels and the first are
    measured, and all others lie between those."""
    manifest = picture.manifest
    few, batches = asked_of(pair, test, PICTURES)

    def right(sizes: tuple[int, ...]) -> float:
        found = round(float(torch.cat([pair.scores(batch, sizes)[0] for batch in batches]).mean()), 6)
        console.print(f"{' '.join(map(str, sizes)) or 'unquantised'}: {found:.1%} of {len(few.answers)} answers")
        return found

    measured = {number: right(manifest.point(number).sizes) for number in sorted({1, *manifest.levels.values()})}
    costs = [manifest.point(number).payload_bytes for number in measured]
    points = []
    for number, point in enumerate(manifest.points, 1):
        between = round(float(np.interp(point.payload_bytes, costs, list(measured.values()))), 6)
        points.append({
            **point.model_dump(mode="json"),
            "metric": measured.get(number, between),
            "temperature": 1.0,
            "interpolated": number not in measured,
        })  # fmt: skip
    return {"points": points, "unquantised_metric": right(())}


def _picture_of(recipe: LanguageRecipe, models: Path) -> Artifact:
    folder = models / recipe.picture.name
    if not folder.exists():
        raise UsageError(
            f"There is no {folder}, whose pictures {recipe.name} is asked about; export that recipe first."
        )
    picture = load_artifact(folder)
    said = {name: value for name, value in picture.manifest.recipe.items() if name not in ("minutes", "hardware")}
    if checked_recipe(said, folder.name) != recipe.picture:
        raise UsageError(f"{folder} is of another recipe than {recipe.name} was trained beside; export it again.")
    if picture.manifest.base is not None:
        raise UsageError(f"{folder} has a base of its own, and a model has one; train a picture's half without.")
    return picture
