"""An artifact at codebook sizes that are no points of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wire.artifact import Artifact, values_of, write_artifact
from wire.exceptions import UsageError
from wire.manifest import TABLES, Manifest, OperatingPoint, block_bytes, powers_of_two

Sizes = tuple[int, ...]
"""A codebook size for each segment."""


def sizes_of(text: str, manifest: Manifest, seed: int) -> list[Sizes]:
    """Sizes from text such as "2,37,1024", each for all segments; or for each segment its own, as in "8/3/1/1".

    "drawn:20" is 20 sizes for all segments, drawn with the seed.

    Raises:
        UsageError: if the model cannot take them.
    """
    segments, found = len(manifest.segments), []
    if text.startswith("drawn:"):
        count = text.removeprefix("drawn:")
        if not (count.isascii() and count.isdigit() and int(count)):
            raise UsageError(f"{count!r} is not how many sizes to draw; write for example drawn:20.")
        if not manifest.any_size:
            raise UsageError(f"The sizes of {manifest.name} are powers of two; name them, as in 2,4,8.")
        text = ",".join(map(str, drawn_sizes(int(count), seed, manifest.largest_size)))
    for part in text.split(","):
        numbers = part.strip().split("/")
        if not all(number.isascii() and number.isdigit() for number in numbers):
            raise UsageError(f"{part.strip()!r} is not a codebook size; write whole numbers, as in 2,37,256.")
        sizes = tuple(map(int, numbers)) * (segments if len(numbers) == 1 else 1)
        if len(sizes) != segments:
            raise UsageError(
                f"{part.strip()} has {len(sizes)} sizes, and {manifest.name} has {segments} segments; "
                "give one size for all, or one for each."
            )
        if not all(1 <= size <= manifest.largest_size for size in sizes):
            raise UsageError(
                f"{part.strip()} is out of range; sizes of {manifest.name} are 1 to {manifest.largest_size}."
            )
        if max(sizes) == 1:
            raise UsageError("At size 1 nothing is sent; one segment at least must have a larger one.")
        if not (manifest.any_size or powers_of_two(sizes)):
            raise UsageError(f"{part.strip()} is no power of two, and {manifest.name} has no other sizes.")
        found.append(sizes)
    return found


def drawn_sizes(count: int, seed: int, largest: int) -> list[int]:
    """So many sizes of 2 … largest, drawn log-uniformly, smallest first; fewer where two are the same."""
    drawn = np.random.default_rng(seed).uniform(1, np.log2(largest + 1), count)
    return sorted(set((2**drawn).astype(int).tolist()))


def at_sizes(artifact: Artifact, sizes: Sequence[Sizes], folder: Path) -> Artifact:
    """The same model with these operating points, written to `folder`: their figures are not measured yet.

    Each has the temperature of the next cheaper point of the artifact.
    """
    manifest = artifact.manifest
    points = [_point(manifest, one) for one in sorted(set(sizes), key=lambda one: _cost(manifest, one))]
    # A refinable model's tables are of its planes, and what is measured here are blocks.
    files = {name: artifact.read(name) for name in manifest.files if not (manifest.refinable and name == TABLES)}
    return write_artifact(folder, {**values_of(manifest), "points": points, "planes": []}, files)


def _point(manifest: Manifest, sizes: Sizes) -> dict[str, object]:
    cost = _cost(manifest, sizes)
    cheaper = [point for point in manifest.points if point.payload_bytes <= cost] or manifest.points[:1]
    values = OperatingPoint(sizes=sizes, payload_bytes=cost, metric=0.0, temperature=cheaper[-1].temperature)
    return values.model_dump(mode="json")


def _cost(manifest: Manifest, sizes: Sizes) -> int:
    return block_bytes(manifest.sub_vectors_of_segments, sizes)
