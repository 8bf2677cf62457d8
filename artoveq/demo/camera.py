"""The demo's camera: it wanders over the sample pictures, so that no two frames are the same."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wire.pictures import Picture, read_picture

PICTURES = Path(__file__).parent / "pictures"
LABELS = {"dingo.png": "dingo", "dog.png": None, "fox.png": None}
"""The class of each sample picture, where it has one in the Imagewoof models."""


@dataclass(frozen=True)
class Frame:
    """One picture from the camera. label: its class, None where it is none of the model's."""

    name: str
    label: str | None
    picture: Picture


def frames() -> Iterator[Frame]:
    """An endless walk: each sample picture in turn, in a window that drifts and breathes."""
    samples = [(name, label, read_picture(PICTURES / name)) for name, label in LABELS.items()]
    step = 0
    while True:
        for name, label, picture in samples:
            height, width = picture.shape[:2]
            side = round(min(height, width) * (0.94 + 0.06 * math.cos(step / 5)))
            x = round((width - side) * (0.5 + 0.5 * math.sin(step / 7)))
            y = round((height - side) * (0.5 + 0.5 * math.cos(step / 9)))
            yield Frame(name.removesuffix(".png"), label, picture[y : y + side, x : x + side])
        step += 1
