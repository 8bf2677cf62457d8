"""How a picture is sent, and what else a caller may ask for; a wrong argument gets a sentence."""

from __future__ import annotations

import logging
import math
import os
import re
from dataclasses import dataclass
from typing import cast

import numpy as np
from PIL import Image

from wire.exceptions import UsageError
from wire.local_head import local_head_of
from wire.manifest import Manifest
from wire.pictures import Picture, from_image, read_picture

log = logging.getLogger(__name__)

UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
LARGEST_SIDE = 4096
PictureSource = str | os.PathLike[str] | bytes | Image.Image | Picture
"""A path, the bytes of a file, a PIL image, or an array of uint8 (height, width, 3)."""


@dataclass(frozen=True)
class OneShot:
    """All of a picture's payload at once, one answer.

    point: None lets the policy choose, by what arrives in time; where the edge has an answer of its own (a local head),
    that one comes first, and stands where no other comes in time. 0 is that one alone: no byte is sent. A point from 1
    on is waited for.
    """

    point: int | None = None

    def __post_init__(self) -> None:
        _check_point(self.point, least=0)


@dataclass(frozen=True)
class Progressive:
    """Plane after plane, an answer after each run, until `point`, the deadline, or an answer of `min_confidence`.

    The edge's own answer is the first, where it has one (a local head): nothing is sent where that is sure enough.
    Below 1, `min_confidence` makes it a cascade: each run waits for the answer to the one before, while time allows.

    point: None is the chain as far as it gives anything; a point that is no part of it, as much of the chain as takes
    no more bytes.
    """

    min_confidence: float = 1.0
    point: int | None = None

    def __post_init__(self) -> None:
        _check_point(self.point)
        if not _number(self.min_confidence) or not 0 <= self.min_confidence <= 1:
            raise UsageError(f"min_confidence is a probability from 0 to 1, not {self.min_confidence!r}.")


@dataclass(frozen=True)
class File:
    """A small WebP file in place of the payload: the server runs the encoder, too.

    side: pixels, quality: 0 … 100; None, both, lets the bits and the time decide.
    """

    side: int | None = None
    quality: int | None = None

    def __post_init__(self) -> None:
        if (self.side is None) != (self.quality is None):
            raise UsageError("A file takes a side and a quality; give both, or neither.")
        if self.side is not None and not (_whole(self.side) and 1 <= self.side <= LARGEST_SIDE):
            raise UsageError(f"The side of a file is 1 to {LARGEST_SIDE} pixels, not {self.side!r}.")
        if self.quality is not None and not (_whole(self.quality) and 0 <= self.quality <= 100):
            raise UsageError(f"The quality of a file is 0 to 100, not {self.quality!r}.")


Mode = OneShot | Progressive | File


def point_for(
    manifest: Manifest, *, point: int | None = None, level: int | None = None, max_bytes: int | None = None
) -> int:
    """The number of the operating point that one of these names.

    point: 0 for the edge's own answer.
    max_bytes: of the packed payload; where even the cheapest point takes more, it is that, and a warning says so.

    Raises:
        PointError: if the model does not have it.
        UsageError: if none, or more than one, is given.
    """
    if sum(choice is not None for choice in (point, level, max_bytes)) != 1:
        raise UsageError("Name an operating point in one way: by its number, its level, or the bytes it may take.")
    if point is not None:
        if point == 0:
            local_head_of(manifest)
        else:
            manifest.point(point)
        return point
    if level is not None:
        return manifest.point_of_level(level)
    assert max_bytes is not None
    found = manifest.point_within(max_bytes)
    if (least := manifest.point(found).payload_bytes) > max_bytes:
        log.warning(
            "The cheapest point of %s takes %d bytes, more than %d; it is sent.", manifest.name, least, max_bytes
        )
    return found


def seconds_of(budget: float | str) -> float:
    """A budget in seconds, from a number of them or from text with its unit, like "50ms" or "0.2s".

    Raises:
        UsageError: if it is no time above 0, or text without a unit.
    """
    value = math.nan
    if isinstance(budget, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(us|ms|s|)\s*", budget)
        if match and not match[2]:
            raise UsageError(f"{budget!r} has no unit; write '{match[1]}ms' or '{match[1]}s'.")
        if match:
            value = float(match[1]) * UNITS[match[2]]
    elif _number(budget):
        value = float(budget)
    if not 0 < value < math.inf:
        raise UsageError(f"{budget!r} is not a time above 0; write seconds, or for example '50ms' or '0.2s'.")
    return value


def top_k_of(top_k: int) -> int:
    """How many classes an answer names.

    Raises:
        UsageError: if it is no whole number from 1.
    """
    if not _whole(top_k) or top_k < 1:
        raise UsageError(f"top_k is how many classes to name, from 1, not {top_k!r}.")
    return top_k


def picture_of(source: PictureSource) -> Picture:
    """RGB, shape (height, width, 3), from whatever a caller has.

    Raises:
        PictureError: if it cannot be read as a picture.
        UsageError: if it is of another type or shape.
    """
    if isinstance(source, (str, os.PathLike, bytes, bytearray)):
        return read_picture(bytes(source) if isinstance(source, bytearray) else cast(str, source))
    if isinstance(source, Image.Image):
        return from_image(source)
    if not isinstance(source, np.ndarray):
        raise UsageError(f"A picture is a path, bytes, a PIL image or an array, not {type(source).__name__}.")
    if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3 or not source.size:
        raise UsageError(
            f"A picture as an array is uint8 of shape (height, width, 3) in RGB, not {source.dtype} of {source.shape}."
        )
    return source


def _check_point(point: int | None, least: int = 1) -> None:
    if point is not None and not (_whole(point) and point >= least):
        raise UsageError(f"An operating point is a number from {least}, not {point!r}.")


def _whole(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return _whole(value) or isinstance(value, (float, np.floating))
