"""Mixed resolution: how a budget of bits is shared among segments of channels."""

from __future__ import annotations

import math
from collections.abc import Sequence

from wire.exceptions import LevelError

Allocation = tuple[int, ...]
"""The level of each segment of channels, 0 where nothing is sent of it; a single one is the level of all."""


def allocations(distortion: Sequence[Sequence[float]]) -> list[Allocation]:
    """The best allocation for every sum of levels, from one a segment on average to the highest for each.

    distortion[s][l] is what segment s costs at level l; at level 0 nothing is sent of it, which is right
    where bits are worth more elsewhere (reverse water-filling). Costs add up, so dynamic programming
    over the segments finds the least sum (the problem is that of Shoham & Gersho 1988, solved exactly).
    """
    best: dict[int, tuple[float, Allocation]] = {0: (0.0, ())}
    for costs in distortion:
        longer: dict[int, tuple[float, Allocation]] = {}
        for spent, (total, levels) in best.items():
            for level, cost in enumerate(costs):
                found = longer.get(spent + level, (math.inf, ()))
                longer[spent + level] = min(found, (total + cost, (*levels, level)))
        best = longer
    return [best[spent][1] for spent in sorted(best) if spent >= len(distortion)]


def allocate(budget: int, sub_vectors: int, distortion: Sequence[Sequence[float]]) -> Allocation:
    """The levels of the segments that spend `budget` bits a picture, to less than one step, at the least cost.

    A segment has sub_vectors / segments sub-vectors, so one level of one segment is a step of that
    many bits.

    Raises:
        LevelError: if the budget is not between M and M·L bits.
    """
    segments, max_level = len(distortion), len(distortion[0]) - 1
    if not sub_vectors <= budget <= sub_vectors * max_level:
        raise LevelError(
            f"{budget} bits cannot be allocated; this model takes {sub_vectors} to {sub_vectors * max_level} bits a "
            "picture."
        )
    return allocations(distortion)[budget * segments // sub_vectors - segments]
