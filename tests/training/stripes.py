"""A data set made here, upright and lying stripes, and a recipe small enough to be trained on it in a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from training.recipe import Recipe, read_recipe

RECIPE = """
name = "tiny-{family}"
dataset = "stripes"
picture = 32
batch = 8
hold_out_every = 8
[network]
backbone = "three layers"
cut = 2
weights = "random"
[codebook]
family = "{family}"
max_level = 3
[stage1]
epochs = {epochs}
pretrained_rate = 1e-3
new_rate = {rate}
[stage3]
epochs = {epochs}
pretrained_rate = 1e-3
new_rate = {rate}
"""


def write_stripes(root: Path) -> str:
    """48 of each to train on, 16 to test; returns the data set's address."""
    random = np.random.default_rng(0)
    for split, count in (("train", 48), ("test", 16)):
        for name in ("lying", "upright"):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                wave = np.sin(np.arange(40) / random.uniform(1, 3) + random.uniform(0, 6))
                picture = wave[:, None].repeat(40, 1) if name == "lying" else wave[None].repeat(40, 0)
                noisy = picture * 90 + 128 + random.normal(0, 15, picture.shape)
                Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(root / split / name / f"{i}.png")
    return f"folder:{root}"


def recipe(folder: Path, family: str, epochs: int = 1, rate: str = "3e-3", more: str = "") -> Recipe:
    path = folder / "recipe.toml"
    path.write_text(RECIPE.format(family=family, epochs=epochs, rate=rate) + more)
    return read_recipe(path)
