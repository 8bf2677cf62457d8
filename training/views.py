"""Training views: random crops of every training picture, made once, with the teacher's answer to each.

Making a crop and asking the teacher costs more than a step of training; K views a picture, mirrored
and relit afresh at every use, serve all stages, families and seeds that share a data set.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import track
from torch import Tensor

from training.backbones import BACKBONES
from training.checkpoint import load_checkpoint, save_checkpoint
from training.data import Resident, Split, hold_out
from training.recipe import Recipe
from training.teacher import Teacher, fit_head
from wire.exceptions import CheckpointError, DataError

TEACHER_BATCH = 64
console = Console(stderr=True)


@dataclass
class Batch:
    """Pictures (B, 3, S, S) in 0..1, their labels, and the teacher's logits where there is one."""

    pictures: Tensor
    labels: Tensor
    teacher_logits: Tensor | None = None

    def part(self, rows: slice) -> Batch:
        """Some of the pictures."""
        logits = None if self.teacher_logits is None else self.teacher_logits[rows]
        return Batch(self.pictures[rows], self.labels[rows], logits)


@dataclass
class Views:
    """K views of N pictures, and the pictures held out for watching the training.

    pictures: uint8 (K, N, 3, S, S); labels: (N,); teacher_logits: (K, N, classes) or None;
    held_pictures: uint8 (H, 3, S, S), the plain centre crops; held_labels: (H,).
    """

    pictures: Tensor
    labels: Tensor
    teacher_logits: Tensor | None
    held_pictures: Tensor
    held_labels: Tensor

    def batch(self, rows: Tensor, epoch: int, *, relit: bool = True) -> Batch:
        """One view of each picture in `rows`, half of them mirrored; with `relit` brightness and contrast changed."""
        view = (rows + epoch) % len(self.pictures)
        pictures = as_input(self.pictures[view, rows])
        shape, device = (len(rows), 1, 1, 1), rows.device
        pictures = torch.where(torch.rand(shape, device=device) < 0.5, pictures.flip(3), pictures)
        if relit:
            gain = torch.empty(shape, device=device).uniform_(0.8, 1.2)
            shift = torch.empty(shape, device=device).uniform_(-0.15, 0.15)
            pictures = ((pictures - 0.5) * gain + 0.5 + shift).clamp_(0, 1)
        logits = None if self.teacher_logits is None else self.teacher_logits[view, rows].float()
        return Batch(pictures, self.labels[rows], logits)

    def held_batches(self, size: int = 128) -> list[Batch]:
        """The pictures held out, as they are at inference."""
        pairs = zip(self.held_pictures.split(size), self.held_labels.split(size), strict=True)
        return [Batch(as_input(pictures), labels) for pictures, labels in pairs]

    def state(self) -> dict[str, Any]:
        return dict(vars(self))

    def to(self, device: torch.device) -> Views:
        moved: dict[str, Any] = {k: None if v is None else v.to(device) for k, v in self.state().items()}
        return Views(**moved)


def as_input(pictures: Tensor) -> Tensor:
    """uint8 (B, 3, S, S) to float in 0..1, channels last in memory."""
    return pictures.to(torch.float32).div_(255).contiguous(memory_format=torch.channels_last)


def shrink(views: Tensor, size: int) -> Tensor:
    """A larger view in 0..1 to the network's input, uint8, antialiased like `wire.pictures.fit_picture`."""
    if views.shape[-1] != size:
        views = F.interpolate(views, size=size, mode="bilinear", antialias=True)
    return views.mul(255).round_().clamp_(0, 255).to(torch.uint8)


def make_views(
    recipe: Recipe, split: Split, runs: Path, weights: dict[str, Tensor] | None, device: torch.device
) -> Views:
    """The views of a recipe's training pictures, from `runs` where they have been made before.

    weights: of the teacher.

    Raises:
        CheckpointError: if those in `runs` are of other pictures.
        DataError: if there are too few pictures.
    """
    path, key = runs / f"views-{recipe.views_key()}.pt", recipe.views_key()
    state = load_checkpoint(path, key)
    if state is not None:
        if state.pop("classes") != list(split.classes) or state.pop("count") != len(split):
            raise CheckpointError(f"The views {path} were made of other pictures; delete the file to make new ones.")
        return Views(**state).to(device)
    if len(split) < 2:
        raise DataError("There is one training picture; two are needed at least, and hundreds to learn from.")
    kept, watched = hold_out(split, recipe.hold_out_every, recipe.seed)
    side = max(recipe.view, round(recipe.view / recipe.crop[0] * 0.75))
    data, held = Resident.load(kept, side, device), Resident.load(watched, side, device)
    teacher = None
    if recipe.teaches is not None:
        assert weights is not None
        teacher = Teacher(BACKBONES[recipe.teaches], weights, device)
    made = [_views(data, recipe, recipe.crop, teacher, f"views {k + 1} of {recipe.views}") for k in range(recipe.views)]
    plain, plain_features = _views(held, recipe, None, teacher, "held-out pictures")
    pictures, logits = torch.stack([view for view, _ in made]), None
    if teacher is not None:
        features = torch.cat([f for _, f in made])
        head = fit_head(features, data.labels.repeat(recipe.views), len(split.classes))
        logits = head(features).reshape(recipe.views, len(data.labels), -1).half()
        if len(held.labels):
            right = (head(plain_features).argmax(1) == held.labels).float().mean()
            console.print(f"teacher: {float(right):.1%} of the held-out training pictures")
    views = Views(pictures, data.labels, logits, plain, held.labels)
    save_checkpoint(path, key, {**views.state(), "classes": list(split.classes), "count": len(split)})
    return views


def _views(
    data: Resident, recipe: Recipe, crop: tuple[float, float] | None, teacher: Teacher | None, what: str
) -> tuple[Tensor, Tensor]:
    """One view of every picture, uint8, and the teacher's features of it."""
    device, count = data.labels.device, len(data.labels)
    pictures = [torch.empty(0, 3, recipe.picture, recipe.picture, dtype=torch.uint8, device=device)]
    features = []
    for rows in track(_batches(count, device), description=what, transient=True):
        # The teacher is compiled for whole batches; the last one is filled up and cut again.
        filled = F.pad(rows, (0, TEACHER_BATCH - len(rows)))
        views = data.views(filled, recipe.view, crop)
        pictures.append(shrink(views[: len(rows)], recipe.picture))
        if teacher is not None:
            with precision(device):
                features.append(teacher.features(views)[: len(rows)])
    return torch.cat(pictures), torch.cat(features) if features else torch.empty(count, 0)


def _batches(count: int, device: torch.device) -> list[Tensor]:
    return list(torch.arange(count, device=device).split(TEACHER_BATCH)) if count else []


def precision(device: torch.device, *, dense: bool = False) -> torch.autocast:
    """bfloat16 on a GPU; on a CPU where convolutions are dense and it multiplies so, else it gains nothing."""
    gains = dense and bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda" or gains)
