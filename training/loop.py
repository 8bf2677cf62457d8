"""One run of the training loop: AdamW, one cosine cycle, an average of the weights, a checkpoint every epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from training import processes
from training.backbones import BACKBONES
from training.cameras import as_poor_cameras
from training.checkpoint import load_checkpoint, save_checkpoint
from training.codebooks import Sizes
from training.mixing import cut_mixed
from training.model import RateModel
from training.recipe import StageRecipe
from training.views import Batch, Views, precision
from wire.exceptions import TrainingError

WARM_UP = 0.2
console = Console(stderr=True)


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
def held_out_metric(model: RateModel, views: Views, points: list[Sizes]) -> dict[Sizes, float]:
    """The task's metric at every point, on the pictures set aside from the training set; at least one."""
    model.eval()
    scores: dict[Sizes, list[Tensor]] = {point: [] for point in points}
    for batch in views.held_batches():
        x = model.sub_vectors_of(batch.pictures)
        for point in points:
            output = model.decode_at(x, point, *batch.further).float()
            scores[point].append(model.task.score(output, batch))
    return {point: float(torch.cat(found).mean()) for point, found in scores.items()}


class StageRun:
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
        shown: list[Sizes],
        views: Views,
    ) -> None:
        self.path, self.key, self.stage, self.model, self.trained, self.shown = path, key, stage, model, trained, shown
        recipe = model.recipe
        self.dense = BACKBONES[recipe.network.backbone].dense
        self.parameters = [p for p in trained.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(self._groups(), weight_decay=recipe.weight_decay)
        self.views = views
        self.batch = min(recipe.batch, len(views.labels))
        self.steps = len(views.labels) // self.batch
        if views.labels.is_cuda:
            model.compile_passes()
        span = max(1.0, stage.average * stage.epochs * self.steps)
        self.average = AveragedModel(trained, multi_avg_fn=get_ema_multi_avg_fn(1 - 1 / span), use_buffers=True)
        self.epoch, self.minutes, self.done = 0, 0.0, stage.epochs == 0
        self.progress = 0.0
        """Of the stage, 0..1, where it is."""

    @property
    def faded_in(self) -> float:
        """How far codewords have taken the place of the latent, 0..1."""
        fade_in = getattr(self.stage, "fade_in", 0.0)
        return min(1.0, self.progress / fade_in) if fade_in else 1.0

    def _groups(self) -> list[dict[str, Any]]:
        """Pretrained parameters and new ones, at rates of their own; apart from them those that do not decay."""
        model, stage = self.model, self.stage
        codewords = {id(p) for p in model.codebook.parameters()}
        fresh = {id(p) for p in model.network.new_parameters()} | codewords
        groups: list[dict[str, Any]] = [
            {"params": [p for p in self.parameters if id(p) not in fresh], "peak": stage.pretrained_rate},
            {"params": [p for p in self.parameters if id(p) in fresh], "peak": stage.new_rate},
        ]
        if not model.recipe.decay_weights_alone:
            return groups
        stays = {id(p) for p in self.parameters if p.ndim < 2} | codewords
        apart = [
            {**group, "params": [p for p in group["params"] if id(p) in stays], "weight_decay": 0.0} for group in groups
        ]
        return [{**group, "params": [p for p in group["params"] if id(p) not in stays]} for group in groups] + apart

    def train(self, loss_of: Callable[[Batch], Tensor]) -> None:
        """Goes on from the checkpoint where there is one.

        Raises:
            TrainingError: if the loss is not finite.
        """
        self._resume()
        if not self.done:
            self._epochs(processes.averaged_loss(self.trained, loss_of, self.batch))
        self.trained.load_state_dict(self.average.module.state_dict())

    def _epochs(self, loss_of: Callable[[Batch, int], Tensor]) -> None:
        views, steps, size = self.views, self.steps, self.batch
        columns = (*Progress.get_default_columns()[:-1], TimeElapsedColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(self.path.stem, total=self.stage.epochs * steps, completed=self.epoch * steps)
            while not self.done:
                began, before, losses = time.monotonic(), self.minutes, []
                order = torch.randperm(len(views.labels)).to(views.labels.device)
                with processes.own_random_numbers():
                    for step, rows in enumerate(order[: steps * size].split(size)):
                        progress = self._progress(step / steps)
                        if progress >= 1:
                            break
                        batch = self._batch(processes.share(rows))
                        losses.append(self._step(loss_of, batch, progress, step))
                        self.minutes = processes.mean(before + (time.monotonic() - began) / 60, order.device)
                        bar.advance(task)
                self.epoch += 1
                self.done = self._progress(0.0) >= 1
                self._save()
                console.print(
                    f"{self.path.stem}: epoch {self.epoch}/{self.stage.epochs}, "
                    f"loss {sum(losses) / max(1, len(losses)):.3f}, {self._held_out(self.shown[-1:])}"
                    f"{self.minutes:.1f} min"
                )
        self.trained.load_state_dict(self.average.module.state_dict())
        if held_out := self._held_out(self.shown):
            console.print(f"{self.path.stem}: {held_out.removesuffix(', ')}")

    def _held_out(self, points: list[Sizes]) -> str:
        """How good the model is on the held-out pictures, with a comma behind it; nothing where there are none."""
        if not len(self.views.held_labels) or not processes.is_first():
            return ""
        figures = held_out_metric(self.model, self.views, points)
        named = (f"{'/'.join(map(str, p)) or 'unquantised'}: {self.model.task.shown(v)}" for p, v in figures.items())
        return f"held out, {self.model.task.metric} {', '.join(named)}, "

    def _batch(self, rows: Tensor) -> Batch:
        recipe, batch = self.model.recipe, self.views.batch(rows, self.epoch, relit=self.model.task.relit)
        if recipe.camera and not batch.kept:
            batch = replace(batch, pictures=as_poor_cameras(batch.pictures, recipe.camera))
        if recipe.cutmix and float(torch.rand(())) < recipe.cutmix:
            batch = cut_mixed(batch, self.model.classes)
        return batch

    def _progress(self, of_epoch: float) -> float:
        spent = self.minutes / self.stage.minutes if self.stage.minutes else 0.0
        return max(spent, (self.epoch + of_epoch) / max(1, self.stage.epochs))

    def _step(self, loss_of: Callable[[Batch, int], Tensor], batch: Batch, progress: float, step: int) -> float:
        self.trained.train()
        self.progress = progress
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * one_cycle(progress)
        with precision(batch.labels.device, dense=self.dense):
            loss = loss_of(batch, len(batch.labels))
        value = processes.mean(float(loss.detach()), loss.device)
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
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 5.0)
        self.optimiser.step()
        self.average.update_parameters(self.trained)
        return value

    def _resume(self) -> None:
        state = processes.of_first(lambda: load_checkpoint(self.path, self.key))
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
        if not processes.is_first():
            return
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
