"""Trains and measures the row of `questions.py` that a language model speaks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks.accuracy.answering import RECIPE as PICTURE
from benchmarks.accuracy.answering import bits_and_bytes, question_alone, with_other_pictures
from benchmarks.accuracy.questions import SHUFFLED, SPOKEN, SPOKEN_ALONE, SPOKEN_UNQUANTISED
from training.codebooks import Sizes
from training.data import SEED, Split
from training.export import hardware
from training.language.recipe import LanguageRecipe, read_language_recipe
from training.language.training import Pair, asked_of, train, trained
from training.views import Batch

RECIPE = PICTURE.with_name("easyvqa64-smollm2.toml")
PICTURES = 200
"""Test pictures that are asked about, with all their questions."""
console = Console(stderr=True)


def recipe() -> LanguageRecipe:
    """The recipe of the row."""
    return read_language_recipe(RECIPE)


def run(split: Split, test: Split, runs: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Trains the language model, or goes on where it stopped; what was trained, and its rows on some test pictures."""
    train(recipe(), split, runs, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    pair, minutes = trained(recipe(), split, runs)
    few, batches = asked_of(pair, test, PICTURES)
    console.print(f"{SPOKEN}: {len(few.answers)} questions about {len(few)} test pictures, drawn with seed {SEED}")
    levels = pair.picture.codebook.points()
    rows = [{"row": SPOKEN_ALONE, "bits": "–", "payload_bytes": 0, **question_alone(split, few)}]
    rows.append({"row": SHUFFLED[SPOKEN], **measure(pair, levels[-1], with_other_pictures(batches))})
    rows.append({"row": SPOKEN_UNQUANTISED, **measure(pair, (), batches)})
    console.print(*rows, sep="\n")
    for point in levels:
        rows.append({"row": SPOKEN, **measure(pair, point, batches)})
        console.print(rows[-1])
    asked = {"pictures": len(few), "questions": len(few.answers), "seed": SEED}
    return {"recipe": recipe().key(), "minutes": round(minutes, 1), "hardware": hardware(), **asked}, rows


def measure(pair: Pair, point: Sizes, batches: Sequence[Batch]) -> dict[str, Any]:
    """At one point, or unquantised where it is empty: the share of answers that are right word for word, and nll."""
    found = [pair.scores(batch, point) for batch in batches]
    right, nll = (torch.cat(parts) for parts in zip(*found, strict=True))
    return {
        **bits_and_bytes(pair.picture, point),
        "accuracy": round(float(right.mean()), 6),
        "nll": round(float(nll.mean()), 6),
    }
