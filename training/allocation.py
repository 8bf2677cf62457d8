"""Mixed resolution: how a budget of bits is shared among segments of channels."""

from __future__ import annotations

from wire.exceptions import LevelError


def allocate(budget: int, sub_vectors: int, segments: int, max_level: int, lead: int = 1) -> tuple[int, ...]:
    """The levels of the segments, first segment first, that spend at most `budget` bits a picture.

    Every segment has sub_vectors / segments sub-vectors and at least level 1. Raising a segment by
    one level costs that many bits; the next to be raised is the one whose level, plus `lead` for
    every segment before it, is lowest, the first of equals. So the levels fall by `lead` from
    segment to segment until the first reaches max_level, every budget between M and M·L is used up
    to a step, and a larger budget never lowers a segment.

    Raises:
        LevelError: if the budget is not between M and M·L bits.
    """
    if not sub_vectors <= budget <= sub_vectors * max_level:
        raise LevelError(
            f"{budget} bits cannot be allocated; this model takes {sub_vectors} to {sub_vectors * max_level} bits a "
            "picture."
        )
    levels = [1] * segments
    for _ in range(budget * segments // sub_vectors - segments):
        raisable = [s for s in range(segments) if levels[s] < max_level]
        lowest = min(raisable, key=lambda s: levels[s] + lead * s)
        levels[lowest] += 1
    return tuple(levels)
