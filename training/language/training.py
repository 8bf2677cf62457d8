"""Trains a language model to answer: only the projector and the adapters, on what the picture's frozen half gives."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn

from training.backbones import BACKBONES
from training.checkpoint import load_checkpoint, save_checkpoint
from training.codebooks import Sizes
from training.data import Split
from training.export import fitted_batches
from training.language.recipe import LANGUAGE_MODELS, LanguageRecipe
from training.language.samples import Texts
from training.language.speaker import Speaker, loss_of, scores_of
from training.loop import one_cycle
from training.losses import trained_points
from training.model import RateModel
from training.prepare import make_views
from training.stages import trained_model
from training.views import Batch, Views, multiplies_bfloat16, precision
from wire.base import base_file, read_base
from wire.exceptions import TrainingError
from wire.language import vocabulary_of

CHECKPOINT_MINUTES = 5.0
WATCHED = 24
"""Pictures held out from training that are asked about after every epoch."""
TOGETHER = 8
"""How many pictures are asked about in a batch."""
console = Console(stderr=True)


@dataclass
class Pair:
    """Both halves of what answers: the picture's, frozen, and the speaker; and the texts between them."""

    picture: RateModel
    speaker: Speaker
    texts: Texts

    @torch.no_grad()
    def tokens(self, batch: Batch, points: list[Sizes]) -> Tensor:
        """The picture's tokens (B, N, F), each picture at its own point, or unquantised where that is empty."""
        x = self.picture.sub_vectors_of(batch.pictures).unflatten(0, (len(batch.pictures), -1))
        vectors = torch.cat([self.picture.at(one, point) for one, point in zip(x, points, strict=True)])
        return self.picture.features(vectors)

    @torch.inference_mode()
    def scores(self, batch: Batch, point: Sizes) -> tuple[Tensor, Tensor]:
        """Of every question in the batch: as `scores_of`."""
        assert batch.questions is not None
        self.speaker.eval()
        samples = self.texts.samples(batch.questions, batch.labels)
        with precision(batch.labels.device, dense=True):
            logits = self.speaker(self.tokens(batch, [point] * len(batch.labels)), samples)
        return scores_of(logits, samples)


def asked_of(pair: Pair, split: Split, pictures: int) -> tuple[Split, list[Batch]]:
    """So many pictures, drawn, and what is asked about them, in batches."""
    few = split.drawn(pictures)
    parts = [
        batch.part(slice(start, start + TOGETHER))
        for batch in fitted_batches(pair.picture, few)
        for start in range(0, len(batch.labels), TOGETHER)
    ]
    return few, parts


def untrained(recipe: LanguageRecipe, split: Split, runs: Path, device: torch.device) -> Pair:
    """The picture's half that `runs` has, and a speaker as it starts.

    Raises:
        TrainingError: if the picture's half is not trained, or no questions are asked about these pictures.
        ArtifactError: if the language model is not installed.
    """
    if split.questions is None:
        raise TrainingError(f"{recipe.name} answers questions, and this data set has none; take --data easyvqa.")
    picture, _ = trained_model(recipe.picture, len(split.classes), runs, split.questions)
    base = LANGUAGE_MODELS[recipe.language_model]
    dtype = torch.bfloat16 if multiplies_bfloat16(device) else torch.float32
    weights = {name: torch.tensor(tensor).to(dtype) for name, tensor in read_base(base).items()}
    vocabulary = vocabulary_of(base_file(base))
    torch.manual_seed(recipe.seed)
    features = BACKBONES[recipe.picture.network.backbone].features
    speaker = Speaker(features, weights, recipe.rank, vocabulary.start)
    picture.requires_grad_(False)
    return Pair(picture.to(device).eval(), speaker.to(device), Texts(split.questions, vocabulary))


def train(recipe: LanguageRecipe, split: Split, runs: Path, device: torch.device) -> Pair:
    """Trains on the training pictures `split`, or goes on where a checkpoint in `runs` stops.

    Raises:
        TrainingError: as `untrained`, or if the loss is not finite.
    """
    pair = untrained(recipe, split, runs, device)
    views = make_views(recipe.picture, split, runs, {}, device)
    _Run(recipe, pair, views, runs / f"{recipe.name}.pt").train()
    return pair


def trained(recipe: LanguageRecipe, split: Split, runs: Path) -> tuple[Pair, float]:
    """What `train` left in `runs`, and the minutes that its training took.

    Raises:
        TrainingError: if the training has not come to its end.
    """
    state = load_checkpoint(runs / f"{recipe.name}.pt", recipe.key())
    if state is None or not state["done"]:
        raise TrainingError(f"{recipe.name} is not trained to its end; run `artoveq train` first.")
    pair = untrained(recipe, split, runs, torch.device("cpu"))
    pair.speaker.load_state_dict(state["trained"], strict=False)
    pair.speaker.eval()
    return pair, state["minutes"]


@dataclass
class _Run:
    """AdamW, one cosine cycle; a checkpoint every few minutes, from which it goes on within an epoch, too."""

    recipe: LanguageRecipe
    pair: Pair
    views: Views
    path: Path
    epoch: int = 0
    step: int = 0
    minutes: float = 0.0
    losses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        recipe, speaker = self.recipe, self.pair.speaker
        projector = {id(p) for p in speaker.projector.parameters()}
        parameters = list(speaker.trained().values())
        groups = [
            {"params": [p for p in parameters if id(p) in projector], "peak": recipe.projector_rate},
            {"params": [p for p in parameters if id(p) not in projector], "peak": recipe.adapter_rate},
        ]
        self.parameters, self.optimiser = parameters, torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)
        self.points = trained_points(self.pair.picture)
        self.steps = -(-len(self.views.labels) // recipe.batch)

    @property
    def done(self) -> bool:
        return self.epoch >= self.recipe.epochs

    def train(self) -> None:
        torch.manual_seed(self.recipe.seed)
        self._resume()
        saved = self.minutes
        while not self.done:
            order = torch.randperm(len(self.views.labels), generator=torch.Generator().manual_seed(self.epoch))
            for rows in order.split(self.recipe.batch)[self.step :]:
                began = time.monotonic()
                self._learn(rows.to(self.views.labels.device))
                self.step, self.minutes = self.step + 1, self.minutes + (time.monotonic() - began) / 60
                if self.minutes - saved >= CHECKPOINT_MINUTES:
                    saved = self.minutes
                    self._save()
            self.epoch, self.step = self.epoch + 1, 0
            self._save()
            self._watch()

    def _learn(self, rows: Tensor) -> None:
        speaker = self.pair.speaker.train()
        progress = (self.epoch + self.step / self.steps) / self.recipe.epochs
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * one_cycle(progress)
        batch = self.views.batch(rows, self.epoch, relit=self.pair.picture.task.relit)
        assert batch.questions is not None
        points = [self.points[int(number)] for number in torch.randint(len(self.points), (len(rows),))]
        samples = self.pair.texts.samples(batch.questions, batch.labels, varied=True)
        with precision(rows.device, dense=True):
            loss = loss_of(speaker(self.pair.tokens(batch, points), samples), samples)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(f"The loss of {self.recipe.name} is {value}; lower the rates of its recipe.")
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.losses.append(value)

    def _watch(self) -> None:
        """Says how good it is on pictures that are held out."""
        held = self.views.held_batches(WATCHED)
        if held:
            right = float(self.pair.scores(held[0], self.points[-1])[0].mean())
            console.print(f"{self.recipe.name}: {right:.1%} of answers on {len(held[0].labels)} held-out pictures")

    def _save(self) -> None:
        state: dict[str, Any] = {
            "trained": {name: p.detach() for name, p in self.pair.speaker.trained().items()},
            "optimiser": self.optimiser.state_dict(),
            "rng": torch.get_rng_state(),
            "epoch": self.epoch,
            "step": self.step,
            "minutes": self.minutes,
            "done": self.done,
        }
        save_checkpoint(self.path, self.recipe.key(), state)
        loss, self.losses = sum(self.losses) / max(1, len(self.losses)), []
        where = f"epoch {self.epoch + self.step / self.steps:.2f}/{self.recipe.epochs}"
        console.print(f"{self.recipe.name}: {where}, loss {loss:.4f}, {self.minutes:.1f} min")

    def _resume(self) -> None:
        state = load_checkpoint(self.path, self.recipe.key())
        if state is None:
            return
        self.pair.speaker.load_state_dict(state["trained"], strict=False)
        self.optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["rng"])
        self.epoch, self.step, self.minutes = state["epoch"], state["step"], state["minutes"]
        console.print(f"{self.recipe.name}: resumed in epoch {self.epoch + 1}, at step {self.step}")
