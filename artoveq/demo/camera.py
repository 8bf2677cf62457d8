"""The demo's camera: it wanders over the sample picture and its mirror image, so that no two frames are the same."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wire.pictures import Picture, read_picture

SAMPLE = Path(__file__).parent / "pictures" / "dingo.png"
LABEL = "dingo"
"""Its class in the Imagewoof models."""
VIEWS = (LABEL, f"{LABEL}, mirrored")


@dataclass(frozen=True)
class Frame:
    """One picture from the camera. name: of the view; label: its class."""

    name: str
    label: str
    picture: Picture


def frames() -> Iterator[Frame]:
    """An endless walk: each view in turn, in a window that drifts and breathes."""
    picture = read_picture(SAMPLE)
    height, width = picture.shape[:2]
    step = 0
    while True:
        side = round(min(height, width) * (0.94 + 0.06 * math.cos(step / 5)))
        x = round((width - side) * (0.5 + 0.5 * math.sin(step / 7)))
        y = round((height - side) * (0.5 + 0.5 * math.cos(step / 9)))
        window = picture[y : y + side, x : x + side]
        for name, view in zip(VIEWS, (window, window[:, ::-1]), strict=True):
            yield Frame(name, LABEL, view)
        step += 1
