"""A recipe for pictures of one's own, from how many there are, how large, and of how many classes."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np

from training.data import Split
from training.recipe import Recipe, checked_recipe

SAMPLED = 64
"""Pictures whose size is looked at."""
SEEN = 60_000
"""Pictures that stage 1 sees, repeats included, within the bounds of EPOCHS."""
EPOCHS = (8, 30)
FEW = 1000
"""With fewer pictures than this, batches are small and pictures are, too."""
WITH_TEACHER = 4000
"""From this many pictures on, a teacher is worth its time."""
MANY_CLASSES = 50
PROFILES: dict[int, dict[str, Any]] = {
    32: {"strides": (1, 1, 2, 1, 2, 1)},
    64: {"strides": (2, 1, 2, 1, 2, 1)},
    128: {"strides": (2, 2, 2, 1, 2, 1)},
}
"""By the side of the picture: strides that leave a latent of 8×8."""


def recipe_for(
    split: Split, name: str, *, pretrained: bool, epochs: int | None = None, minutes: float | None = None
) -> Recipe:
    """A progressive recipe for the training pictures `split`. pretrained: whether ImageNet weights are at hand.

    epochs: of stage 1, stage 3 has half as many. minutes: of both together, at most.
    """
    count, side = len(split), picture_side(split)
    epochs = epochs or int(np.clip(SEEN // count, *EPOCHS))
    ends = {"minutes": minutes / 2} if minutes else {}
    rates = {"pretrained_rate": 6e-4 if pretrained else 3e-3, "new_rate": 2e-3 if pretrained else 3e-3}
    values: dict[str, Any] = {
        "name": _slug(name),
        "dataset": f"{_slug(name)}-{_digest(split)}",
        "picture": side,
        "batch": 16 if count < FEW else 64,
        "network": {
            "profile": "own",
            "latent_channels": 24 if len(split.classes) > MANY_CLASSES else 16,
            "weights": "imagenet" if pretrained else "random",
            **PROFILES[side],
        },
        "codebook": {"family": "progressive"},
        "stage1": {"epochs": epochs, **rates, **ends},
        "stage3": {"epochs": max(1, epochs // 2), **{k: v * 2 / 3 for k, v in rates.items()}, **ends},
        "local_head": {},
    }
    if pretrained and count >= WITH_TEACHER:
        values["teacher"] = {"view": max(160, round(1.5 * side))}
    return checked_recipe(values, "that was picked for these pictures")


def picture_side(split: Split) -> int:
    """The encoder's input: no larger than most pictures are, and small where there are few of them."""
    sample = np.random.default_rng(0).permutation(len(split))[:SAMPLED]
    shorter = float(np.median([min(split.picture(i).shape[:2]) for i in sample]))
    fitting = [side for side in PROFILES if side <= max(shorter, min(PROFILES))]
    return min(64, fitting[-1]) if len(split) < FEW else fitting[-1]


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "own"


def _digest(split: Split) -> str:
    """Names the pictures, so that a training is not resumed with others than it was begun with."""
    names = [str(s) if isinstance(s, Path) else hashlib.sha256(s.tobytes()).hexdigest() for s in split.sources]
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:8]
