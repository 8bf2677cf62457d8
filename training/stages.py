"""The stages of a training, for every backbone, codebook family and task (Alg. 1 and 2).

stage 1   encoder and decoder without a quantiser
stage 2   codewords placed on the latents (LBG, or two-means on residuals)
stage 3   everything together: all sizes at once, or level by level with a stage 2 before each
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from training import processes
from training.backbones import BACKBONES
from training.checkpoint import load_checkpoint
from training.codebooks import Codebook
from training.data import Split
from training.loop import StageRun, averaged
from training.losses import quantised_loss, segment_distortion, trained_points, unquantised_loss
from training.model import RateModel
from training.prepare import make_views
from training.recipe import Recipe
from training.views import Batch, Views
from wire.exceptions import RecipeError, TrainingError
from wire.manifest import Questions

CALIBRATION_PICTURES = 512
LATENT_PICTURES = 2048
MOST_SHOWN = 16
"""Points whose metric on the held-out pictures is shown when a stage ends."""


def train(recipe: Recipe, split: Split, runs: Path, *, weights_file: str | None, device: torch.device) -> None:
    """Trains a recipe on the training pictures `split`, or goes on where a checkpoint in `runs` stops.

    Its result is in `runs`; `trained_model` reads it.
    """
    torch.manual_seed(recipe.seed)
    backbone = recipe.network.backbone
    needed = {backbone} if recipe.network.weights != "random" else set()
    needed |= {recipe.teaches} if recipe.teaches else set()
    with processes.first_before_others():
        pretrained = {name: BACKBONES[name].pretrained(weights_file) for name in sorted(needed)}
        views = make_views(recipe, split, runs, pretrained, device)
    train_on(recipe, views, len(split.classes), runs, pretrained.get(backbone), split.questions)


def train_on(
    recipe: Recipe,
    views: Views,
    classes: int,
    runs: Path,
    weights: dict[str, Tensor] | None,
    questions: Questions | None = None,
) -> RateModel:
    """As `train`, on views that are made; returns the model."""
    model = first_stage(recipe, views, classes, runs, weights, questions)
    codebook, one_by_one = model.codebook, recipe.stage3.order == "level by level"
    torch.manual_seed(recipe.stage3.seed)
    if not one_by_one:
        for size in codebook.sizes:
            codebook.extend(latents_of(model, views), size)

        def distortion(sizes: Sequence[int]) -> Tensor:
            return segment_distortion(model, _some_batches(model, views, CALIBRATION_PICTURES), sizes)

        codebook.share_bits(distortion)
    for name, largest in quantised_runs(recipe, codebook).items():
        if one_by_one:
            codebook.extend(latents_of(model, views), largest)
        shown = [point for point in trained_points(model) if max(point) <= largest]
        shown = shown[:: -(1 + len(shown) // MOST_SHOWN)][::-1]
        run = StageRun(runs / f"{name}.pt", recipe.key(), recipe.stage3, model, model, [(), *shown], views)
        run.train(lambda batch, run=run, largest=largest: quantised_loss(model, batch, largest, run.faded_in))  # type: ignore[misc]
    return model.eval()


def quantised_runs(recipe: Recipe, codebook: Codebook) -> dict[str, int]:
    """Checkpoints that stage 3 leaves, and the largest size that each is trained for."""
    if recipe.stage3.order == "joint":
        return {recipe.name: codebook.largest}
    *smaller, largest = codebook.sizes
    return {**{f"{recipe.name}-{size}": size for size in smaller}, recipe.name: largest}


def first_stage(
    recipe: Recipe,
    views: Views,
    classes: int,
    runs: Path,
    weights: dict[str, Tensor] | None,
    questions: Questions | None = None,
) -> RateModel:
    """The model after stage 1, trained unless `runs` has it: recipes that differ in later stages share it."""
    if recipe.network.norm == "whole batch" and processes.count() > 1:
        raise RecipeError('network.norm = "whole batch" is for one process; start it without torchrun.')
    device = views.labels.device
    torch.manual_seed(recipe.seed)
    model = RateModel(recipe, classes, weights, questions)
    model.to(device).to(memory_format=torch.channels_last)
    path, key = _first_checkpoint(recipe, runs)
    if weights is not None and not path.exists():
        model.network.initialise_from_pca(*calibration(model, views))
    run = StageRun(path, key, recipe.stage1, model, model.network, [()], views)
    run.train(lambda batch: unquantised_loss(model, batch))
    return model


@torch.no_grad()
def calibration(model: RateModel, views: Views) -> tuple[Tensor, Tensor | None]:
    """What the stem gives of some training pictures, and the teacher's features at the cut where they are kept."""
    rows = torch.randperm(len(views.labels), device=views.labels.device)[:CALIBRATION_PICTURES]
    batch = views.batch(rows, 0, relit=model.task.relit)
    given: Tensor = batch.pictures if batch.kept else model.network.stem(batch.pictures)
    return given, batch.teacher_middle


def fine_tune(model: RateModel, views: Views, runs: Path) -> None:
    """Trains on without a quantiser, for as long as stage 3 has."""
    recipe = model.recipe
    torch.manual_seed(recipe.stage3.seed)
    run = StageRun(runs / f"{recipe.name}.pt", recipe.key(), recipe.stage3, model, model, [()], views)
    run.train(lambda batch: unquantised_loss(model, batch))


def trained_model(
    recipe: Recipe, classes: int, runs: Path, questions: Questions | None = None
) -> tuple[RateModel, float]:
    """The averaged model that `train` left in `runs`, and the minutes that its training took.

    Raises:
        TrainingError: if the training has not come to its end.
    """
    model, minutes = RateModel(recipe, classes, None, questions), 0.0
    later = [(runs / f"{name}.pt", recipe.key()) for name in quantised_runs(recipe, model.codebook)]
    for path, key in [_first_checkpoint(recipe, runs), *later]:
        state = load_checkpoint(path, key)
        if state is None:
            raise TrainingError(f"There is no checkpoint {path}; run `artoveq train` first.")
        if not state["done"]:
            raise TrainingError(f"{path.stem} is trained for {state['epoch']} epochs, not to its end; train on first.")
        minutes += state["minutes"]
        average = state["average"]
    model.load_state_dict(averaged(average))
    return model.eval(), minutes


def _first_checkpoint(recipe: Recipe, runs: Path) -> tuple[Path, str]:
    key = recipe.stage1_key()
    return runs / f"stage1-{key}.pt", key


@torch.no_grad()
@torch.compiler.set_stance("force_eager")
def latents_of(model: RateModel, views: Views) -> Tensor:
    """Sub-vectors (N, G, d) of some training pictures."""
    model.eval()
    batches = _some_batches(model, views, LATENT_PICTURES)
    return torch.cat([model.sub_vectors_of(batch.pictures, kept=batch.kept) for batch in batches])


def _some_batches(model: RateModel, views: Views, count: int) -> list[Batch]:
    rows = torch.randperm(len(views.labels), device=views.labels.device)[:count]
    return [views.batch(r, 0, relit=model.task.relit) for r in rows.split(model.recipe.batch)]
