"""Mixed resolution: how a budget of bits is shared among segments of channel groups."""

from __future__ import annotations

import math
from collections.abc import Sequence

Levels = tuple[int, ...]
"""The level of each segment, 0 where nothing is sent of it."""


def allocations(distortion: Sequence[Sequence[float]], least: int) -> list[Levels]:
    """The best levels for every sum of levels, from `least` to the highest for each.

    distortion[s][l] is what segment s costs at level l; at level 0 nothing is sent of it, which is right
    where bits are worth more elsewhere (reverse water-filling). Costs add up, so dynamic programming
    over the segments finds the least sum (the problem is that of Shoham & Gersho 1988, solved exactly).
    """
    best: dict[int, tuple[float, Levels]] = {0: (0.0, ())}
    for costs in distortion:
        longer: dict[int, tuple[float, Levels]] = {}
        for spent, (total, levels) in best.items():
            for level, cost in enumerate(costs):
                found = longer.get(spent + level, (math.inf, ()))
                longer[spent + level] = min(found, (total + cost, (*levels, level)))
        best = longer
    return [best[spent][1] for spent in sorted(best) if spent >= least]
