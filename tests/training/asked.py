"""A data set of questions made here, in easy-VQA's form: squares that are red or blue; a small transformer for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from torch import Tensor, nn

from tests.seams.toy_backbone import CHANNELS, ThreeLayers
from training.backbones.transformer import Block, Pooled, Tokens
from training.recipe import Recipe, checked_recipe

if TYPE_CHECKING:
    from training.recipe import NetworkRecipe

COLOURS = ("red", "blue")
STAGE = {"epochs": 8, "pretrained_rate": 3e-3, "new_rate": 3e-3}


class FewBlocks(ThreeLayers):
    """Two of the three layers, and one block behind them."""

    gives = ("features", "tokens")

    def halves(
        self, network: NetworkRecipe, picture: int, weights: dict[str, Tensor] | None
    ) -> tuple[nn.Module, nn.Module]:
        width = self.features
        edge, _ = super().halves(network, picture, weights)
        return edge, nn.Sequential(Tokens(CHANNELS[network.cut], width), Block(width, 2), Pooled(width, 0.0))


def write_questions(root: Path, pictures: int = 64) -> str:
    """So many to train on, half of them to test; returns the data set's address."""
    random = np.random.default_rng(0)
    root.mkdir(parents=True, exist_ok=True)
    (root / "answers.txt").write_text("yes\nno\nred\nblue\n")
    for split, count in (("train", pictures), ("test", pictures // 2)):
        (root / split / "images").mkdir(parents=True)
        asked: list[tuple[str, str, int]] = []
        for i in range(count):
            colour, place = int(random.integers(2)), random.integers(0, 16, 2)
            picture = random.integers(200, 256, (32, 32, 3)).astype(np.uint8)
            picture[place[0] :, place[1] :][:16, :16] = (220, 30, 30) if colour == 0 else (30, 30, 220)
            Image.fromarray(picture).save(root / split / "images" / f"{i}.png")
            asked.append(("What color is it?", COLOURS[colour], i))
            asked += [(f"is it {name}?", "yes" if n == colour else "no", i) for n, name in enumerate(COLOURS)][
                : 1 + i % 2
            ]
        (root / split / "questions.json").write_text(json.dumps(asked))
    return f"easyvqa:{root}"


def recipe(**changes: Any) -> Recipe:
    """For the backbone "few blocks", which has to be entered."""
    values = {
        "name": "asked", "dataset": "easyvqa", "task": "question answering", "picture": 32, "batch": 8, "views": 1,
        "crop": (0.9, 1.0), "label_smoothing": 0.0, "hold_out_every": 8,
        "network": {"backbone": "few blocks", "cut": 2, "latent_channels": 8, "weights": "random"},
        "codebook": {"family": "aligned", "d": 4, "max_level": 2},
        "stage1": STAGE, "stage3": {**STAGE, "decoded": "chain"},
    }  # fmt: skip
    return checked_recipe({**values, **changes}, "asked")
