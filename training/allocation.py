"""Mixed resolution: how a budget of bits or bytes is shared among segments of channel groups."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

PARTS_OF_A_BYTE = 64
"""What `best_sizes` counts payloads in."""

Sizes = tuple[int, ...]
"""The codebook size of each segment, 1 where nothing is sent of it."""
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


def costs_between(sizes: Sequence[int], costs: NDArray[np.floating]) -> NDArray[np.float64]:
    """Costs (S, n) at n sizes, from 1 up, as costs at every size up to the last (S, sizes[-1]), linearly in log K."""
    every, known = np.log2(np.arange(1, sizes[-1] + 1)), np.log2(sizes)
    return np.stack([np.interp(every, known, row) for row in costs])


def best_sizes(costs: NDArray[np.floating], sub_vectors: Sequence[int], budgets: Iterable[int]) -> list[Sizes]:
    """The integer size of each segment, for every budget of payload bytes: those of the least sum of costs.

    costs: (S, K), of each segment at sizes 1 … K. sub_vectors: M_s of each segment, whose payload is
    Σ_s M_s log2 K_s bits. As in `allocations`, by dynamic programming over the segments, on payloads counted in
    parts of a byte and rounded up, so that no budget is exceeded.
    """
    budgets = list(budgets)
    states = max(budgets) * PARTS_OF_A_BYTE + 1
    best = np.zeros(states)
    chosen = np.empty((len(costs), states), np.int64)
    for s, (segment, m) in enumerate(zip(costs, sub_vectors, strict=True)):
        taken = np.ceil(m * np.log2(np.arange(1, len(segment) + 1)) * PARTS_OF_A_BYTE / 8 - 1e-9).astype(int)
        longer, size = np.full(states, np.inf), np.ones(states, np.int64)
        for k in range(1, len(segment) + 1):
            if taken[k - 1] >= states:
                break
            total = best[: states - taken[k - 1]] + segment[k - 1]
            better = total < longer[taken[k - 1] :]
            longer[taken[k - 1] :][better] = total[better]
            size[taken[k - 1] :][better] = k
        best, chosen[s] = longer, size
    found = []
    for budget in budgets:
        left, sizes = budget * PARTS_OF_A_BYTE, []
        for s in reversed(range(len(costs))):
            k = int(chosen[s, left])
            sizes.append(k)
            left -= int(np.ceil(sub_vectors[s] * np.log2(k) * PARTS_OF_A_BYTE / 8 - 1e-9))
        found.append(tuple(reversed(sizes)))
    return found
