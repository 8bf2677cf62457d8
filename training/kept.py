"""Kept features: what the frozen blocks give of every view, computed once, 16 bits a value.

Then an epoch begins behind them. Views are mirrored and relit before, once. A view is a file of its own in `runs`,
mapped into memory, so that trainings that share it share its memory, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from torch import Tensor

from training.cameras import as_poor_cameras
from training.checkpoint import load_checkpoint, save_checkpoint
from training.data import Resident
from training.network import parts
from training.recipe import Recipe
from training.tasks import TASKS
from training.teacher import Teacher, whole_batches
from training.views import Batch, Views, precision, shrink, varied
from wire.exceptions import CheckpointError

Kept = tuple[Tensor, ...]
"""Of each view, one tensor for all pictures."""


@dataclass
class KeptViews(Views):
    """Views whose `pictures` are not there: K tensors of features instead, float16 (N, H, W, C).

    middles: as many of the teacher's features at the cut, where they are learnt from.
    """

    features: Kept = ()
    middles: Kept = ()

    def batch(self, rows: Tensor, epoch: int, *, relit: bool = True) -> Batch:
        """The features (B, C, H, W) of one view of each picture in `rows`."""
        view = (rows + epoch) % len(self.features)
        logits = None if self.teacher_logits is None else self.teacher_logits[view, rows].float()
        middle = _of_views(self.middles, view, rows) if self.middles else None
        given = _of_views(self.features, view, rows)
        return Batch(given, self.labels[rows], logits, kept=True, teacher_middle=middle)

    def state(self) -> dict[str, Any]:
        """All but the features, which have files of their own."""
        return {k: v for k, v in vars(self).items() if k not in ("features", "middles")}

    def to(self, device: torch.device) -> KeptViews:
        moved: dict[str, Any] = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        for k in ("features", "middles"):
            moved[k] = tuple(one.to(device) for one in getattr(self, k))
        return KeptViews(**{**vars(self), **moved})


def _of_views(kept: Kept, view: Tensor, rows: Tensor) -> Tensor:
    """Row by row of the view that is meant there, float (B, C, H, W)."""
    found = torch.empty(len(rows), *kept[0].shape[1:], device=rows.device)
    for k, features in enumerate(kept):
        of_view = view == k
        found[of_view] = features[rows[of_view]].float()
    return found.permute(0, 3, 1, 2)


def keep_features(
    recipe: Recipe, data: Resident, runs: Path, pretrained: Mapping[str, dict[str, Tensor]], teacher: Teacher | None
) -> tuple[Kept, Kept, Kept]:
    """Of K views what `kept_features` has, and the teacher's features, K × (N, F); those in `runs` are taken.

    pretrained: weights of the backbones that are needed, by their names.

    Raises:
        CheckpointError: if one in `runs` is damaged.
    """
    network = recipe.network
    stem, _, _ = parts(network, recipe.picture, pretrained[network.backbone])
    stem.to(data.labels.device).to(memory_format=torch.channels_last)
    for k, path in enumerate(_files(recipe, runs)):
        if not path.exists():
            with torch.random.fork_rng():  # a view is the same, whether or not others were there already
                torch.manual_seed(recipe.seed + k)
                what = f"features of views {k + 1} of {recipe.views}"
                save_checkpoint(path, path.stem, _one_view(recipe, data, stem, teacher, what))
    return *kept_features(recipe, runs), _kept(recipe, runs, "taught")


def kept_features(recipe: Recipe, runs: Path) -> tuple[Kept, Kept]:
    """The stem's features of K views, K × (N, H, W, C), and the teacher's at the cut, or none; mapped into memory.

    Raises:
        CheckpointError: if one is damaged, or is not there.
    """
    return _kept(recipe, runs, "features"), _kept(recipe, runs, "middles") if recipe.features else ()


def _kept(recipe: Recipe, runs: Path, what: str) -> Kept:
    found = []
    for path in _files(recipe, runs):
        state = load_checkpoint(path, path.stem, mapped=True)
        if state is None:
            raise CheckpointError(f"{path} is gone; delete views-{recipe.views_key()}.pt beside it to make all anew.")
        found.append(state[what])
    return tuple(found)


def _files(recipe: Recipe, runs: Path) -> list[Path]:
    return [runs / f"kept-{recipe.views_key()}-{k}.pt" for k in range(recipe.views)]


@torch.inference_mode()
def _one_view(
    recipe: Recipe, data: Resident, stem: torch.nn.Module, teacher: Teacher | None, what: str
) -> dict[str, Tensor]:
    device, larger = data.labels.device, recipe.network.upsampled
    features, middles, taught = [], [], []
    for rows, filled in track(whole_batches(len(data.labels), device), description=what, transient=True):
        crops = data.crops(filled, recipe.crop, recipe.shift)
        # Straight to the side that the stem enlarges to: enlarged twice, views would be softer than pictures are.
        pictures = data.sampled(filled, larger or recipe.view, crops)
        if recipe.features:  # what is mirrored for the one is mirrored for the other
            pictures = varied(pictures, relit=TASKS[recipe.task].relit)
            assert teacher is not None
            with precision(device):
                middle = teacher.middle(pictures)
                taught.append(teacher.of_middle(middle)[: len(rows)].half())
            middles.append(_kept_form(middle[: len(rows)]))
        pictures = pictures[: len(rows)]
        if not larger:
            pictures = shrink(pictures, recipe.picture).float().div_(255)
        if not recipe.features:
            pictures = varied(pictures, relit=TASKS[recipe.task].relit)
        pictures = as_poor_cameras(pictures, recipe.camera)
        given = pictures.contiguous(memory_format=torch.channels_last)
        features.append(_kept_form(stem(given)))
        if teacher is not None and not recipe.features:
            with precision(device):
                taught.append(teacher.features(data.sampled(filled, recipe.view, crops))[: len(rows)].half())
    found = {"features": features, "middles": middles, "taught": taught}
    return {name: torch.cat(one or [torch.empty(0)]).cpu() for name, one in found.items()}


def _kept_form(features: Tensor) -> Tensor:
    """(B, C, H, W) to float16 (B, H, W, C)."""
    return features.permute(0, 2, 3, 1).half().contiguous()
