"""Makes training views, once: a crop and the teacher's answer to it cost more than a step of training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from training.checkpoint import load_checkpoint, save_checkpoint
from training.data import Resident, Split, hold_out
from training.kept import KeptViews, keep_features, kept_features
from training.recipe import Recipe
from training.tasks import TASKS
from training.teacher import Teacher, fit_head, whole_batches
from training.views import Views, precision, shrink
from wire.exceptions import CheckpointError, DataError

console = Console(stderr=True)


def make_views(
    recipe: Recipe, split: Split, runs: Path, pretrained: Mapping[str, dict[str, Tensor]], device: torch.device
) -> Views:
    """The views of a recipe's training pictures, from `runs` where they have been made before.

    pretrained: weights by backbone, of the teacher and, where blocks are frozen, of the network.

    Raises:
        CheckpointError: if those in `runs` are of other pictures.
        DataError: if there are too few pictures.
    """
    path, key = runs / f"views-{recipe.views_key()}.pt", recipe.views_key()
    state = load_checkpoint(path, key)
    if state is not None:
        if state.pop("classes") != list(split.classes) or state.pop("count") != len(split):
            raise CheckpointError(f"The views {path} were made of other pictures; delete the file to make new ones.")
        if not recipe.network.frozen:
            return Views(**state).to(device)
        features, middles = kept_features(recipe, runs)
        return KeptViews(**state, features=features, middles=middles).to(device)
    if len(split) < 2:
        raise DataError("There is one training picture; two are needed at least, and hundreds to learn from.")
    if (split.questions is not None) != TASKS[recipe.task].asks:
        raise DataError(
            f"The task {recipe.task} cannot be learnt from this data set; questions are asked by easyvqa, and by "
            "questions: before another one."
        )
    kept, watched = hold_out(split, recipe.hold_out_every, recipe.seed)
    side = max(recipe.view, round(recipe.view / recipe.crop[0] * 0.75))
    if recipe.network.upsampled:  # views are taken of what the network would be given
        side = recipe.picture
    data, held = Resident.load(kept, side, device), Resident.load(watched, side, device)
    teacher = None
    if recipe.teaches is not None:
        teacher = Teacher(recipe, pretrained[recipe.teaches], device)
    plain, plain_features = _views(held, recipe, None, teacher, "held-out pictures")
    if recipe.network.frozen:
        features, middles, taught = keep_features(recipe, data, runs, pretrained, teacher)
        nothing = torch.empty(0)
        views: Views = KeptViews(nothing, data.labels, None, plain, held.labels, features=features, middles=middles)
    else:
        every = range(1, recipe.views + 1)
        made = [_views(data, recipe, recipe.crop, teacher, f"views {k} of {recipe.views}") for k in every]
        views = Views(torch.stack([view for view, _ in made]), data.labels, None, plain, held.labels)
        taught = tuple(features for _, features in made)
    if teacher is not None:
        head = fit_head(torch.cat(taught).float(), data.labels.repeat(recipe.views), len(split.classes))
        views.teacher_logits = torch.stack([head(features.float()) for features in taught]).half()
        if len(held.labels):
            right = (head(plain_features).argmax(1) == held.labels).float().mean()
            console.print(f"teacher: {float(right):.1%} of the held-out training pictures")
    asked = (None if one.asked is None else torch.from_numpy(one.asked).to(device) for one in (kept, watched))
    views.questions, views.held_questions = asked
    save_checkpoint(path, key, {**views.state(), "classes": list(split.classes), "count": len(split)})
    return views.to(device)


def _views(
    data: Resident, recipe: Recipe, crop: tuple[float, float] | None, teacher: Teacher | None, what: str
) -> tuple[Tensor, Tensor]:
    """One view of every picture, uint8, and the teacher's features of it."""
    device, count = data.labels.device, len(data.labels)
    pictures = [torch.empty(0, 3, recipe.picture, recipe.picture, dtype=torch.uint8, device=device)]
    features = []
    for rows, filled in track(whole_batches(count, device), description=what, transient=True):
        views = data.views(filled, recipe.view, crop, recipe.shift)
        pictures.append(shrink(views[: len(rows)], recipe.picture))
        if teacher is not None:
            with precision(device):
                features.append(teacher.features(views)[: len(rows)])
    return torch.cat(pictures), torch.cat(features) if features else torch.empty(count, 0)
