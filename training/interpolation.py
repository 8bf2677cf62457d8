"""Points that are measured, and those between them: of a model of any size, and of a chain before a heavy server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wire.manifest import powers_of_two

MEASURED = 128
"""Points that are measured of a model of any size, beside the levels."""
HEAVY, CLOSELY = 500, 2
"""Millions of multiply-adds of a server half with which all planes of a chain take an hour to measure; those of the
first levels are measured, and of the others whole levels."""


def to_be_measured(points: Sequence[Mapping[str, Any]], count: int = MEASURED) -> list[dict[str, Any]]:
    """Marks as interpolated all points but those that are to be measured: `count` evenly along the logarithm of their
    bytes, the first, the last and the levels, which have one power of two for all segments.

    points: of a manifest, cheapest first.
    """
    costs = np.array([point["payload_bytes"] for point in points])
    levels = {n for n, point in enumerate(points) if _is_level(point)}
    evenly: set[int] = set()
    for steps in range(count, 64 * count):  # where points are few, steps fall on the same
        evenly = set(np.searchsorted(costs, np.geomspace(costs[0], costs[-1], steps).round(6)).tolist())
        if len(evenly) >= min(count, len(points)):
            break
    kept = levels | evenly | {0, len(points) - 1}
    return [dict(point) if n in kept else {**point, "interpolated": True} for n, point in enumerate(points)]


def heavy_to_be_measured(points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Marks as interpolated the points of a chain that are behind its first `CLOSELY` levels, but for whole levels."""
    return [
        dict(point) if max(point["sizes"]) <= 2**CLOSELY or _is_level(point) else {**point, "interpolated": True}
        for point in points
    ]


def between(
    points: Sequence[Mapping[str, Any]], measured: Mapping[int, Mapping[str, Any]], *, chain: bool = False
) -> list[dict[str, Any]]:
    """All points, each that is not `measured` (by number, with its figures) between its two neighbours that are.

    Their metric lies on the line between them over the bytes; they have the temperature of the cheaper one, and what
    entropy coding saves of it. Levels are neighbours in a chain alone, on which they lie: else they are not the best
    sizes for their bytes.
    """
    numbers = [n for n in sorted(measured) if chain or n in (1, len(points)) or not _is_level(points[n - 1])]
    costs = [measured[n]["payload_bytes"] for n in numbers]
    found = []
    for number, point in enumerate(points, 1):
        if number in measured:
            found.append(dict(measured[number]))
            continue
        nearest = measured[max(n for n in numbers if n < number)]
        cost, coded = point["payload_bytes"], nearest["coded_bytes"]
        found.append({
            "sizes": list(point["sizes"]),
            "payload_bytes": cost,
            "coded_bytes": None if coded is None else round(coded * cost / nearest["payload_bytes"], 3),
            "metric": round(float(np.interp(cost, costs, [measured[n]["metric"] for n in numbers])), 6),
            "temperature": nearest["temperature"],
            "interpolated": True,
        })  # fmt: skip
    return found


def _is_level(point: Mapping[str, Any]) -> bool:
    return len(set(point["sizes"])) == 1 and powers_of_two(point["sizes"])
