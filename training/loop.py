"""The one training loop, for every codebook family and stage (Alg. 1 and 2).

stage 1   encoder and decoder without a quantiser
stage 2   codewords placed on the latents (LBG, or two-means on residuals)
stage 3   everything together: all levels at once, or level by level with a stage 2 before each
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from training.allocation import Allocation
from training.checkpoint import load_checkpoint, save_checkpoint
from training.data import Split
from training.losses import quantised_loss, segment_distortion, unquantised_loss
from training.model import RateModel
from training.network import pretrained_weights
from training.recipe import Recipe, StageRecipe
from training.views import Batch, Views, make_views, precision
from wire.exceptions import TrainingError

CALIBRATION_PICTURES = 512
LATENT_PICTURES = 2048
WARM_UP = 0.2
console = Console(stderr=True)


def train(recipe: Recipe, split: Split, runs: Path, *, weights_file: str | None, device: torch.device) -> None:
    """Trains a recipe on the training pictures `split`, or goes on where a checkpoint in `runs` stops.

    Its result is in `runs`; `trained_model` reads it.
    """
    torch.manual_seed(recipe.seed)
    imagenet = recipe.network.weights == "imagenet"
    weights = pretrained_weights(weights_file) if imagenet or recipe.teacher else None
    views = make_views(recipe, split, runs, weights, device)
    train_on(recipe, views, len(split.classes), runs, weights if imagenet else None)


def train_on(recipe: Recipe, views: Views, classes: int, runs: Path, weights: dict[str, Tensor] | None) -> RateModel:
    """As `train`, on views that are made; returns the model."""
    model = first_stage(recipe, views, classes, runs, weights)
    torch.manual_seed(recipe.stage3.seed)
    levels = model.codebook.levels
    if recipe.stage3.order == "joint":
        for level in levels:
            model.codebook.extend(_latents(model, views), level)
        if recipe.codebook.family == "mixed":
            rows = torch.randperm(len(views.labels), device=views.labels.device)[:CALIBRATION_PICTURES]
            model.distortion.copy_(segment_distortion(model, [views.batch(r, 0) for r in rows.split(recipe.batch)]))
        steps = [(recipe.name, levels[-1])]
    else:
        steps = [(recipe.name if level == levels[-1] else f"{recipe.name}-{level}", level) for level in levels]
    for name, top in steps:
        if recipe.stage3.order == "level by level":
            model.codebook.extend(_latents(model, views), top)
        shown = [a for a in model.allocations() if max(a) <= top]
        stage3 = _Run(runs / f"{name}.pt", recipe.key(), recipe.stage3, model, model, [(), *shown], views)
        stage3.train(lambda batch, top=top: quantised_loss(model, batch, top))  # type: ignore[misc]
    return model.eval()


def first_stage(recipe: Recipe, views: Views, classes: int, runs: Path, weights: dict[str, Tensor] | None) -> RateModel:
    """The model after stage 1, trained unless `runs` has it: recipes that differ in later stages share it."""
    device = views.labels.device
    torch.manual_seed(recipe.seed)
    model = RateModel(recipe, classes, weights)
    model.to(device, memory_format=torch.channels_last)
    path, key = runs / f"stage1-{recipe.stage1_key()}.pt", recipe.stage1_key()
    if weights is not None and not path.exists():
        rows = torch.randperm(len(views.labels), device=device)[:CALIBRATION_PICTURES]
        model.network.start_from(views.batch(rows, 0).pictures)
    stage1 = _Run(path, key, recipe.stage1, model, model.network, [()], views)
    stage1.train(lambda batch: unquantised_loss(model, batch))
    return model


def fine_tune(model: RateModel, views: Views, runs: Path) -> None:
    """Trains on without a quantiser, for as long as stage 3 has."""
    recipe = model.recipe
    torch.manual_seed(recipe.stage3.seed)
    run = _Run(runs / f"{recipe.name}.pt", recipe.key(), recipe.stage3, model, model, [()], views)
    run.train(lambda batch: unquantised_loss(model, batch))


def trained_model(recipe: Recipe, classes: int, runs: Path) -> tuple[RateModel, float]:
    """The averaged model that `train` left in `runs`, and the minutes that its training took.

    Raises:
        TrainingError: if the training has not come to its end.
    """
    minutes = 0.0
    first = f"stage1-{recipe.stage1_key()}"
    before = [f"{recipe.name}-{l}" for l in range(1, recipe.codebook.max_level)]
    for name in [first, *(before if recipe.stage3.order == "level by level" else []), recipe.name]:
        key = recipe.stage1_key() if name == first else recipe.key()
        state = load_checkpoint(runs / f"{name}.pt", key)
        if state is None:
            raise TrainingError(f"There is no checkpoint {runs / name}.pt; run `artoveq train` first.")
        minutes += state["minutes"]
    if not state["done"]:
        raise TrainingError(f"{recipe.name} is trained for {state['epoch']} epochs and not to its end; train on first.")
    model = RateModel(recipe, classes, None)
    model.load_state_dict(averaged(state["average"]))
    return model.eval(), minutes


def averaged(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state of the model inside an `AveragedModel`."""
    return {k.removeprefix("module."): v for k, v in state.items() if k != "n_averaged"}


def one_cycle(progress: float) -> float:
    """Share of the peak rate after `progress` (0..1) of a stage: a short rise, then half a cosine to zero."""
    if progress < WARM_UP:
        return 0.04 + 0.96 * progress / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - WARM_UP) / (1 - WARM_UP))))


@torch.no_grad()
@torch.compiler.set_stance("force_eager")
def held_out_accuracy(model: RateModel, views: Views, allocations: list[Allocation]) -> dict[Allocation, float]:
    """Top-1 at every allocation on the pictures set aside from the training set."""
    model.eval()
    right = dict.fromkeys(allocations, 0)
    for batch in views.held_batches():
        for allocation in allocations:
            right[allocation] += int((model(batch.pictures, allocation).argmax(1) == batch.labels).sum())
    return {allocation: count / len(views.held_labels) for allocation, count in right.items()}


@torch.no_grad()
@torch.compiler.set_stance("force_eager")
def _latents(model: RateModel, views: Views) -> Tensor:
    model.eval()
    rows = torch.randperm(len(views.labels), device=views.labels.device)[:LATENT_PICTURES]
    parts = [model.sub_vectors_of(views.batch(r, 0).pictures) for r in rows.split(model.recipe.batch)]
    return torch.cat(parts)


class _Run:
    """One stage: trains `trained` (the model or a part of it), then gives it the averaged weights.

    A checkpoint after every epoch holds all that is needed to go on.
    """

    def __init__(
        self,
        path: Path,
        key: str,
        stage: StageRecipe,
        model: RateModel,
        trained: nn.Module,
        shown: list[Allocation],
        views: Views,
    ) -> None:
        self.path, self.key, self.stage, self.model, self.trained, self.shown = path, key, stage, model, trained, shown
        recipe = model.recipe
        fresh = {id(p) for p in (*model.network.new_parameters(), *model.codebook.parameters())}
        self.parameters = list(trained.parameters())
        groups = [
            {"params": [p for p in self.parameters if id(p) not in fresh], "peak": stage.pretrained_rate},
            {"params": [p for p in self.parameters if id(p) in fresh], "peak": stage.new_rate},
        ]
        self.optimiser = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)
        self.views, self.steps = views, len(views.labels) // recipe.batch
        if views.labels.is_cuda:
            model.compile_passes()
        span = max(1.0, stage.average * stage.epochs * self.steps)
        self.average = AveragedModel(trained, multi_avg_fn=get_ema_multi_avg_fn(1 - 1 / span), use_buffers=True)
        self.epoch, self.minutes, self.done = 0, 0.0, stage.epochs == 0

    def train(self, loss_of: Callable[[Batch], Tensor]) -> None:
        """Goes on from the checkpoint where there is one.

        Raises:
            TrainingError: if the loss is not finite.
        """
        self._resume()
        if not self.done:
            self._epochs(loss_of)
        self.trained.load_state_dict(self.average.module.state_dict())

    def _epochs(self, loss_of: Callable[[Batch], Tensor]) -> None:
        views, steps, size = self.views, self.steps, self.model.recipe.batch
        columns = (*Progress.get_default_columns()[:-1], TimeElapsedColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(self.path.stem, total=self.stage.epochs * steps, completed=self.epoch * steps)
            while not self.done:
                began, before, total = time.monotonic(), self.minutes, 0.0
                order = torch.randperm(len(views.labels)).to(views.labels.device)
                for step, rows in enumerate(order[: steps * size].split(size)):
                    progress = self._progress(step / steps)
                    if progress >= 1:
                        break
                    total += self._step(loss_of, views.batch(rows, self.epoch), progress, step)
                    self.minutes = before + (time.monotonic() - began) / 60
                    bar.advance(task)
                self.epoch += 1
                self.done = self._progress(0.0) >= 1
                self._save()
                console.print(
                    f"{self.path.stem}: epoch {self.epoch}/{self.stage.epochs}, loss {total / max(1, step):.3f}, "
                    f"{self.minutes:.1f} min"
                )
        self.trained.load_state_dict(self.average.module.state_dict())
        figures = held_out_accuracy(self.model, views, self.shown)
        named = (f"{'/'.join(map(str, a)) or 'unquantised'}: {v:.1%}" for a, v in figures.items())
        console.print(f"{self.path.stem}: held out {', '.join(named)}")

    def _progress(self, of_epoch: float) -> float:
        spent = self.minutes / self.stage.minutes if self.stage.minutes else 0.0
        return max(spent, (self.epoch + of_epoch) / max(1, self.stage.epochs))

    def _step(self, loss_of: Callable[[Batch], Tensor], batch: Batch, progress: float, step: int) -> float:
        self.trained.train()
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * one_cycle(progress)
        with precision(batch.labels.device):
            loss = loss_of(batch)
        value = float(loss.detach())
        if not math.isfinite(value):
            kept = (
                f"The last good checkpoint, after epoch {self.epoch}, is {self.path}."
                if self.path.exists()
                else "No epoch of this stage was finished, so there is no checkpoint of it."
            )
            raise TrainingError(
                f"The loss is {value} in epoch {self.epoch + 1}, step {step + 1}; lower the rates of the recipe. {kept}"
            )
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.parameters, 5.0)
        self.optimiser.step()
        self.average.update_parameters(self.trained)
        return value

    def _resume(self) -> None:
        state = load_checkpoint(self.path, self.key)
        if state is None:
            if self.done:  # Nothing to train: what stage 2 made is the result.
                self._save()
            return
        self.trained.load_state_dict(state["trained"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["rng"])
        self.epoch, self.minutes, self.done = state["epoch"], state["minutes"], state["done"]
        console.print(f"{self.path.stem}: resumed after epoch {self.epoch} of {self.stage.epochs}")

    def _save(self) -> None:
        state = {
            "trained": self.trained.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "rng": torch.get_rng_state(),
            "epoch": self.epoch,
            "minutes": self.minutes,
            "done": self.done,
        }
        save_checkpoint(self.path, self.key, state)
