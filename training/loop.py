"""The one training loop, for every codebook family and stage.

stage 1   encoder and decoder without a quantiser
stage 2   codewords placed on the latents (LBG, or two-means on residuals)
stage 3   everything together: each step decodes the highest level and a lower one, stacked into one batch
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from training.checkpoint import load_checkpoint, save_checkpoint
from training.codebooks import build_codebook, from_sub_vectors, lookup, to_sub_vectors
from training.data import Resident, Split, hold_out
from training.network import SplitNetwork, pretrained_weights
from training.recipe import Recipe, StageRecipe
from training.teacher import Teacher
from wire.exceptions import TrainingError

CALIBRATION_PICTURES = 512
LATENT_PICTURES = 2048
console = Console(stderr=True)


class RateModel(nn.Module):
    """The split network with its codebook: one model for every level."""

    def __init__(self, recipe: Recipe, classes: int, weights: dict[str, Tensor] | None) -> None:
        super().__init__()
        self.recipe = recipe
        self.network = SplitNetwork(recipe.network, recipe.picture, classes, weights)
        self.codebook = build_codebook(recipe.codebook, recipe.network.latent_channels)

    def forward(self, pictures: Tensor, level: int | None) -> Tensor:
        """Logits at a level, or without the quantiser where level is None."""
        latent = self.network.encode(pictures)
        if level is not None:
            x = to_sub_vectors(latent, self.recipe.codebook.d)
            index = self.codebook.encode(x, torch.tensor(level, device=x.device))
            vectors = lookup(*self.codebook.table(), index, torch.full((len(x),), level, device=x.device))
            latent = from_sub_vectors(vectors, self.network.latent_shape)
        return self.network.decode(latent)


@dataclass
class Batch:
    """Pictures at the network's size, their labels, and the teacher's logits where there is one."""

    pictures: Tensor
    labels: Tensor
    taught: Tensor | None


def train(recipe: Recipe, split: Split, runs: Path, *, weights_file: str | None, device: torch.device) -> None:
    """Trains a recipe on the training pictures `split`, or goes on where a checkpoint in `runs` stops.

    Its result is in `runs`; `trained_model` reads it.
    """
    torch.manual_seed(recipe.seed)
    kept, watched = hold_out(split, recipe.hold_out_every, recipe.seed)
    side = round(recipe.view / recipe.crop[0] * 0.75)
    data, held = Resident.load(kept, side, device), Resident.load(watched, side, device)
    weights = pretrained_weights(weights_file) if recipe.network.weights == "imagenet" or recipe.teacher else None
    teacher = _fit_teacher(recipe, weights, data, held, runs, len(split.classes), device)
    model = RateModel(recipe, len(split.classes), weights if recipe.network.weights == "imagenet" else None)
    model.to(device, memory_format=torch.channels_last)

    def pictures(rows: Tensor) -> Tensor:
        return shrink(data.views(rows, recipe.view, recipe.crop), recipe.picture)

    def batch(rows: Tensor) -> Batch:
        views = data.views(rows, recipe.view, recipe.crop)
        with torch.no_grad(), _precision(device):
            taught = teacher(views).float() if teacher else None
        return Batch(shrink(views, recipe.picture), data.labels[rows], taught)

    if weights is not None and recipe.network.weights == "imagenet":
        rows = torch.randperm(len(data.labels), device=device)[:CALIBRATION_PICTURES]
        model.network.start_from(pictures(rows))

    def stage1_loss(b: Batch) -> Tensor:
        return task_loss(model.network.decode(model.network.encode(b.pictures)), b, recipe)

    stage1 = f"stage1-{recipe.stage1_key()}"
    count = len(data.labels)
    _run_stage(stage1, recipe.stage1_key(), recipe.stage1, model, model.network, stage1_loss, batch, count, held, runs)

    with torch.no_grad():
        model.eval()
        rows = torch.randperm(len(data.labels), device=device)[:LATENT_PICTURES]
        latents = [model.network.encode(pictures(r)) for r in rows.split(recipe.batch)]
        model.codebook.start(to_sub_vectors(torch.cat(latents), recipe.codebook.d))

    def stage3_loss(b: Batch) -> Tensor:
        return quantised_loss(model, b, recipe)

    _run_stage(recipe.name, recipe.key(), recipe.stage3, model, model, stage3_loss, batch, count, held, runs)


def trained_model(recipe: Recipe, classes: int, runs: Path) -> tuple[RateModel, float]:
    """The averaged model that `train` left in `runs`, and the minutes that its training took.

    Raises:
        TrainingError: if the training has not come to its end.
    """
    minutes = 0.0
    stages = ((f"stage1-{recipe.stage1_key()}", recipe.stage1_key()), (recipe.name, recipe.key()))
    for name, key in stages:
        state = load_checkpoint(runs / f"{name}.pt", key)
        if state is None:
            raise TrainingError(f"There is no checkpoint {runs / name}.pt; run `artoveq train` first.")
        minutes += state["minutes"]
    if state["epoch"] < recipe.stage3.epochs:
        raise TrainingError(f"{recipe.name} has {state['epoch']} of {recipe.stage3.epochs} epochs; train on first.")
    model = RateModel(recipe, classes, None)
    average = state["average"]
    model.load_state_dict({k.removeprefix("module."): v for k, v in average.items() if k != "n_averaged"})
    return model.eval(), minutes


def task_loss(logits: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
    """Cross-entropy with label smoothing, mixed with distillation from the teacher (Hinton et al. 2015)."""
    loss = F.cross_entropy(logits, batch.labels, label_smoothing=recipe.label_smoothing)
    if recipe.teacher is None or batch.taught is None:
        return loss
    taught = distillation(logits, batch.taught, recipe.teacher.temperature)
    return (1 - recipe.teacher.weight) * loss + recipe.teacher.weight * taught


def distillation(logits: Tensor, target: Tensor, temperature: float) -> Tensor:
    """Kullback–Leibler divergence from softened targets, scaled by temperature²."""
    log_p = F.log_softmax(logits / temperature, 1)
    log_q = F.log_softmax(target / temperature, 1)
    return F.kl_div(log_p, log_q, reduction="batchmean", log_target=True) * temperature**2


def quantised_loss(model: RateModel, batch: Batch, recipe: Recipe) -> Tensor:
    """Task loss at the highest level and at a lower one, plus the VQ loss of every level (eq. 2).

    The sandwich rule with in-place distillation (Yu & Huang 2019), and both levels in one batch, so
    that BatchNorm sees in training the mixture that it meets in evaluation. The lower level is 1
    half of the time. Gradients pass the quantiser straight through.
    """
    latent = model.network.encode(batch.pictures)
    x = to_sub_vectors(latent, recipe.codebook.d).float()
    z = model.codebook.quantise(x)
    top, *lower = sorted(z, reverse=True)
    chosen = [top]
    if lower:
        chosen.append(1 if torch.rand(()) < 0.5 else lower[int(torch.randint(len(lower), ()))])
    passed = [from_sub_vectors(x + (z[level] - x).detach(), model.network.latent_shape) for level in chosen]
    logits = model.network.decode(torch.cat(passed).to(memory_format=torch.channels_last)).float()
    high, *low = logits.split(len(batch.labels))
    loss = task_loss(high, batch, recipe)
    for one in low:
        temperature = recipe.teacher.temperature if recipe.teacher else 1.0
        loss = loss + 0.5 * task_loss(one, batch, recipe) + 0.5 * distillation(one, high.detach(), temperature)
    codebook = torch.stack([F.mse_loss(vectors, x.detach()) for vectors in z.values()]).mean()
    commitment = torch.stack([F.mse_loss(x, vectors.detach()) for vectors in z.values()]).mean()
    return loss + codebook + recipe.codebook.beta * commitment


def shrink(views: Tensor, size: int) -> Tensor:
    """The network's input from a larger view, antialiased like `wire.pictures.fit_picture`."""
    if views.shape[-1] != size:
        views = F.interpolate(views, size=size, mode="bilinear", antialias=True)
    return views.to(memory_format=torch.channels_last)


def _precision(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def _fit_teacher(
    recipe: Recipe,
    weights: dict[str, Tensor] | None,
    data: Resident,
    held: Resident,
    runs: Path,
    classes: int,
    device: torch.device,
) -> Teacher | None:
    if recipe.teacher is None:
        return None
    assert weights is not None
    teacher = Teacher(weights, classes).to(device)
    path, key = runs / f"teacher-{recipe.stage1_key()}.pt", recipe.stage1_key()
    state = load_checkpoint(path, key)
    if state is not None:
        teacher.head.load_state_dict(state["head"])
        return teacher
    teacher.fit(data, recipe.teacher, recipe.crop)
    save_checkpoint(path, key, {"head": teacher.head.state_dict()})
    right = sum(
        int((teacher(held.views(rows, recipe.view, None)).argmax(1) == held.labels[rows]).sum())
        for rows in torch.arange(len(held.labels), device=device).split(64)
    )
    console.print(f"teacher: {right / len(held.labels):.1%} of {len(held.labels)} held-out training pictures")
    return teacher


@torch.no_grad()
def held_out_accuracy(model: RateModel, held: Resident, levels: list[int | None]) -> dict[int | None, float]:
    """Top-1 per level on the pictures set aside from the training set (None: unquantised)."""
    model.eval()
    right = dict.fromkeys(levels, 0)
    for rows in torch.arange(len(held.labels), device=held.labels.device).split(128):
        pictures = shrink(held.views(rows, model.recipe.view, None), model.recipe.picture)
        for level in levels:
            right[level] += int((model(pictures, level).argmax(1) == held.labels[rows]).sum())
    return {level: count / len(held.labels) for level, count in right.items()}


def _run_stage(
    name: str,
    key: str,
    stage: StageRecipe,
    model: RateModel,
    trained: nn.Module,
    loss_of: Callable[[Batch], Tensor],
    batch_of: Callable[[Tensor], Batch],
    pictures: int,
    held: Resident,
    runs: Path,
) -> None:
    """Trains `trained` (the model or a part of it) for the stage's epochs, then gives it the averaged weights.

    `pictures` is how many there are to draw from.
    """
    recipe, device = model.recipe, held.labels.device
    fresh = {id(p) for p in (*model.network.new_parameters(), *model.codebook.parameters())}
    parameters = list(trained.parameters())
    groups = [
        {"params": [p for p in parameters if id(p) not in fresh], "lr": stage.pretrained_rate},
        {"params": [p for p in parameters if id(p) in fresh], "lr": stage.new_rate},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)
    steps = pictures // recipe.batch
    rates = [stage.pretrained_rate, stage.new_rate]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=stage.epochs * steps, pct_start=0.2)
    average = AveragedModel(trained, multi_avg_fn=get_ema_multi_avg_fn(recipe.average), use_buffers=True)
    parts = {"trained": trained, "average": average, "optimiser": optimiser, "schedule": schedule}
    path = runs / f"{name}.pt"
    state = load_checkpoint(path, key)
    done, minutes = 0, 0.0
    if state is not None:
        for part_name, part in parts.items():
            part.load_state_dict(state[part_name])
        torch.set_rng_state(state["rng"])
        done, minutes = state["epoch"], state["minutes"]
        console.print(f"{name}: resumed after epoch {done} of {stage.epochs}")

    columns = (*Progress.get_default_columns()[:-1], TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=stage.epochs * steps, completed=done * steps)
        for epoch in range(done, stage.epochs):
            began, total = time.monotonic(), 0.0
            order = torch.randperm(pictures).to(device)
            for step, rows in enumerate(order[: steps * recipe.batch].split(recipe.batch)):
                trained.train()
                batch = batch_of(rows)
                with _precision(device):
                    loss = loss_of(batch)
                value = float(loss.detach())
                if not math.isfinite(value):
                    raise TrainingError(
                        f"The loss is {value} in epoch {epoch + 1}, step {step + 1}; lower the rates of the recipe. "
                        f"The last good checkpoint, after epoch {epoch}, is {path}."
                    )
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(parameters, 5.0)
                optimiser.step()
                schedule.step()
                average.update_parameters(trained)
                total += value
                bar.advance(task)
            minutes += (time.monotonic() - began) / 60
            states = {n: p.state_dict() for n, p in parts.items()}
            save_checkpoint(path, key, {**states, "rng": torch.get_rng_state(), "epoch": epoch + 1, "minutes": minutes})
            console.print(f"{name}: epoch {epoch + 1}/{stage.epochs}, loss {total / steps:.3f}, {minutes:.1f} min")
    trained.load_state_dict(average.module.state_dict())
    levels: list[int | None] = [None] if trained is model.network else [None, *model.codebook.levels]
    shown = held_out_accuracy(model, held, levels)
    console.print(f"{name}: held out " + ", ".join(f"{k or 'unquantised'}: {v:.1%}" for k, v in shown.items()))
