"""The order in which a refinable model's planes are sent: greedily, by what each gives for its bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wire.manifest import block_bytes

Integers = NDArray[np.integer]
Decode = Callable[[Integers, Integers], Any]
"""(indices (N, M), sizes (N, S)) to the task's outputs for N pictures."""
Loss = Callable[[Any], float]
"""Of these outputs; for example the mean negative log-likelihood."""

FREE_LEVELS = 3
"""Levels in which segments may run ahead; later there is little to gain by it, and too little to tell it by."""


@dataclass(frozen=True)
class Chain:
    """Segments in the order in which each gets one further bit, and the loss before and after each of them."""

    order: tuple[int, ...]
    losses: tuple[float, ...]


def coarser(indices: Integers, largest: int, sizes: Sequence[int], segments: Sequence[int]) -> Integers:
    """Indices (N, M) at size `largest` to those at smaller sizes (S,): of a refinable model, their first bits."""
    of_group = np.repeat(np.asarray(sizes), segments)
    groups = indices.reshape(len(indices), -1, len(of_group)).astype(np.int64)
    first_bits: Integers = (groups * of_group // largest).reshape(indices.shape).astype(np.int32)
    return first_bits


def greedy_chain(indices: Integers, largest: int, segments: Sequence[int], decode: Decode, loss: Loss) -> Chain:
    """At each step the one bit of one segment that lowers the loss most for its bytes (lazily: Minoux 1978).

    indices: (N, M) of training pictures at size `largest`; segments: channel groups of each.
    Where a whole level of the same bytes has the lower loss, the order leads through that level: greedy
    steps may not, for two segments can help only together. From `FREE_LEVELS` on it leads through every one.
    """
    count, depth = len(segments), largest.bit_length() - 1

    def loss_at(sizes: Sequence[int]) -> float:
        return loss(
            decode(coarser(indices, largest, sizes, segments), np.tile(np.array(sizes, np.int32), (len(indices), 1)))
        )

    def a_level_of_steps(sizes: list[int], highest: int) -> tuple[list[int], list[float]]:
        order: list[int] = []
        losses: list[float] = []
        gains = dict.fromkeys((s for s in range(count) if sizes[s] < highest), math.inf)
        for _ in range(count):
            before, tried = losses[-1] if losses else current, dict[int, float]()
            # What a bit gives seldom rises by others' bits: who gave less before is not tried again (lazy greedy).
            while (best := max(gains, key=lambda s: gains[s])) not in tried:
                tried[best] = loss_at([size << (t == best) for t, size in enumerate(sizes)])
                gains[best] = (before - tried[best]) / segments[best]
            sizes[best] *= 2
            order.append(best)
            losses.append(tried[best])
            if sizes[best] == highest:
                del gains[best]
            else:
                gains[best] = math.inf
        return order, losses

    sizes = [1] * count
    current = loss_at(sizes)
    order, losses = [], [current]
    for level in range(1, depth + 1):
        whole, free = [2**level] * count, sizes.copy()
        # No further ahead than the first level that all must meet at.
        found, after = a_level_of_steps(free, min(largest, 2 ** max(FREE_LEVELS + 1, level)))
        if free != whole and max(sizes) <= 2**level and (level > FREE_LEVELS or after[-1] > loss_at(whole)):
            free = sizes.copy()
            found, after = a_level_of_steps(free, 2**level)
        sizes, current = free, after[-1]
        order += found
        losses += after
    return Chain(tuple(order), tuple(losses))


def order_of(prefixes: Sequence[Sequence[int]]) -> list[int]:
    """The segment that each plane refines, from the sizes after it."""
    before = [(1,) * len(prefixes[0]), *prefixes]
    return [[a != b for a, b in zip(one, other, strict=True)].index(True) for one, other in pairwise(before)]


def with_chain(values: dict[str, Any], order: Sequence[int]) -> dict[str, Any]:
    """A manifest's values with this chain: its planes, and a point for each prefix beside the points there are."""
    positions = values["latent"]["shape"][1] * values["latent"]["shape"][2]
    sub_vectors = [groups * positions for groups in values["segments"]]
    sizes = [1] * len(sub_vectors)
    points = {tuple(point["sizes"]): point for point in values["points"]}
    planes = []
    for segment in order:
        sizes[segment] *= 2
        planes.append({"segments": [segment], "payload_bytes": (sub_vectors[segment] + 7) // 8})
        points.setdefault(tuple(sizes), unmeasured_point(sub_vectors, sizes))
    cheapest_first = sorted(points.values(), key=lambda point: point["payload_bytes"])
    return {**values, "points": cheapest_first, "planes": planes}


def unmeasured_point(sub_vectors: Sequence[int], sizes: Sequence[int]) -> dict[str, Any]:
    """A point of a manifest before its figures are measured; sub_vectors: M_s of each segment."""
    return {"sizes": list(sizes), "payload_bytes": block_bytes(sub_vectors, sizes), "metric": 0.0}
