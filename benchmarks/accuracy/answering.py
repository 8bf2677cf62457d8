"""Trains and measures the rows of `questions.py` whose answers are chosen."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from benchmarks.accuracy.questions import ALIGNED, ALONE, CHOSEN, SHUFFLED
from training.backbones import BACKBONES
from training.codebooks import Sizes
from training.data import Split
from training.export import fitted_batches, hardware
from training.losses import trained_points
from training.model import RateModel
from training.prepare import make_views
from training.questions import NO_ANSWER
from training.recipe import Recipe, checked_recipe, read_recipe
from training.scores import scores
from training.stages import fine_tune, first_stage, train_on, trained_model
from training.views import Batch
from wire.manifest import block_bytes

RECIPE = Path(__file__).parent.parent.parent / "training" / "recipes" / "easyvqa64-transformer-aligned.toml"
console = Console(stderr=True)


def recipe_of(row: str) -> Recipe:
    """The recipe of a row that is trained."""
    base = read_recipe(RECIPE)
    if row == ALIGNED:
        return base
    values = base.model_dump(mode="json", exclude_none=True)
    return checked_recipe({**values, "name": f"{base.dataset}-{row}"}, row)


def recipe_keys() -> dict[str, str]:
    """Of every row that is trained: what tells its recipe as it is now from one that has changed since."""
    return {row: recipe_of(row).key() for row in CHOSEN}


def run(rows: Sequence[str], train: Split, test: Split, runs: Path, weights_file: str | None) -> dict[str, Any]:
    """Trains the rows, or goes on where they stopped, and measures each on the test pictures."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    base, classes = read_recipe(RECIPE), len(train.classes)
    pretrained = base.network.weights != "random"
    found: list[dict[str, Any]] = [{"row": ALONE, "bits": "–", "payload_bytes": 0, **question_alone(train, test)}]
    trained = {}
    for row in rows:
        recipe, views = recipe_of(row), make_views(base, train, runs, {}, device)
        weights = BACKBONES[base.network.backbone].pretrained(weights_file) if pretrained else None
        if row == ALIGNED:
            model = train_on(recipe, views, classes, runs, weights, train.questions)
            points: list[Sizes] = measured_points(model)
        else:
            model = first_stage(recipe, views, classes, runs, weights, train.questions)
            fine_tune(model, views, runs)
            points = [()]
        minutes = round(trained_model(recipe, classes, runs, train.questions)[1], 1)
        trained[row] = {"recipe": recipe.key(), "minutes": minutes, "hardware": hardware()}
        model = model.cpu().eval()
        batches = list(fitted_batches(model, test))
        found.append({"row": SHUFFLED[row], **measure(model, points[-1], with_other_pictures(batches))})
        for point in points:
            found.append({"row": row, **measure(model, point, batches)})
            console.print(found[-1])
    return {
        "pictures": len(test),
        "questions": len(test.answers),
        "epochs": [base.stage1.epochs, base.stage3.epochs],
        "trained": trained,
        "rows": found,
    }


def measured_points(model: RateModel) -> list[Sizes]:
    """The planes of the first level, and all whole levels, cheapest first."""
    first = [point for point in trained_points(model) if max(point) == 2]
    return list(dict.fromkeys([*first, *model.codebook.points()]))


@torch.no_grad()
def measure(model: RateModel, point: Sizes, batches: Sequence[Batch]) -> dict[str, Any]:
    """At one point, or unquantised where it is empty: bits of each segment, bytes, and scores over all questions."""
    probabilities, labels = [], []
    for batch in batches:
        asked = batch.labels != NO_ANSWER
        probabilities.append(model(batch.pictures, point, *batch.further).softmax(-1)[asked])
        labels.append(batch.labels[asked])
    found = scores(torch.cat(probabilities).numpy(), torch.cat(labels).numpy()).model_dump()
    return {**bits_and_bytes(model, point), **_named(found)}


def bits_and_bytes(model: RateModel, point: Sizes) -> dict[str, Any]:
    """Of a point: bits of each segment, and what they take."""
    positions = model.sub_vectors // sum(model.codebook.segments)
    sub_vectors = [groups * positions for groups in model.codebook.segments]
    return {
        "bits": " ".join(str(size.bit_length() - 1) for size in point) or "–",
        "payload_bytes": block_bytes(sub_vectors, list(point)) if point else "–",
    }


def with_other_pictures(batches: Sequence[Batch]) -> list[Batch]:
    """The same questions, each batch's about its pictures in another order."""
    return [Batch(batch.pictures.roll(1, 0), batch.labels, questions=batch.questions) for batch in batches]


def question_alone(train: Split, test: Split) -> dict[str, float]:
    """Scores of the answers' frequencies, question by question, among the training pictures."""
    counts: dict[bytes, Counter[int]] = defaultdict(Counter)
    for question, answer in _pairs(train):
        counts[question][answer] += 1
    probabilities, labels = [], []
    for question, answer in _pairs(test):
        of = counts[question]
        row = (
            np.array([of[number] for number in range(len(train.classes))], np.float64) + 1e-3
        )  # unseen ones: all alike
        probabilities.append(row / row.sum())
        labels.append(answer)
    return _named(scores(np.array(probabilities), np.array(labels)).model_dump())


def _pairs(split: Split) -> list[tuple[bytes, int]]:
    """Every question with its answer."""
    assert split.asked is not None
    asked = split.asked[split.labels != NO_ANSWER]
    return [(question.tobytes(), int(answer)) for question, answer in zip(asked, split.answers, strict=True)]


def _named(found: dict[str, float]) -> dict[str, float]:
    return {"accuracy": found["top1"], "nll": found["nll"], "ece": found["ece"]}
