"""What the link can carry: measuring the capacity, and choosing the level. Pure; the clock is an argument."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

HOLD = 0.95
"""Share of the estimate that is spent while the level holds or drops."""
RISE = 0.7
"""Share of the estimate that must suffice before the level rises."""
FAST_S, SLOW_S = 3.0, 9.0
"""Half-lives of the two averages; the lower one counts."""


@dataclass(frozen=True)
class Overheads:
    """What a deadline pays for besides sending bits, in seconds."""

    encode: float = 0.0
    round_trip: float = 0.0
    queue: float = 0.0
    decode: float = 0.0

    @property
    def total(self) -> float:
        return self.encode + self.round_trip + self.queue + self.decode


def choose_level(
    capacity: float | None,
    budget: float,
    overheads: Overheads,
    *,
    level_bits: Mapping[int, float],
    message_bits: float,
    previous: int | None = None,
) -> int:
    """The highest level whose bits arrive in time: at most C · (τ − overheads) bits.

    Corrects eq. 4 by what the deadline spends on other things, and by the message around the planes.
    It drops at once and rises cautiously: to go beyond the previous level, the planes must fit into
    `RISE` of the capacity.

    capacity: bits per second, None where nothing has been measured yet (then level 1).
    budget: seconds. level_bits: what each level sends for a picture, on average; it grows with the level.
    message_bits: of the message around the planes.
    Returns 0 where not even the lowest level arrives in time.
    """
    if capacity is None:
        return min(level_bits)
    deliverable = capacity * max(0.0, budget - overheads.total)

    def fitting(share: float) -> int:
        return max(
            (level for level, bits in level_bits.items() if bits + message_bits <= share * deliverable), default=0
        )

    hold = fitting(HOLD)
    if previous is None or hold <= previous:
        return hold
    return max(previous, fitting(RISE))


@dataclass
class _Average:
    """An exponential average over time, free of the bias of its start."""

    half_life: float
    value: float = 0.0
    weight: float = 0.0

    def add(self, sample: float, duration: float) -> None:
        keep = 0.5 ** (duration / self.half_life)
        self.value = keep * self.value + (1 - keep) * sample
        self.weight = keep * self.weight + (1 - keep)

    @property
    def mean(self) -> float:
        return self.value / self.weight


@dataclass
class CapacityEstimator:
    """Bits per second, from the server's receipts: bytes over the server's own clock.

    The estimate is the lower of a fast and a slow average (RFC 9317 describes the practice in
    streaming players), and never above the newest full sample, so that it drops at once and rises
    slowly. A sample that could not fill the link says only that the capacity is at least this much:
    it may raise the estimate and never lowers it.
    """

    fast: _Average = field(default_factory=lambda: _Average(FAST_S))
    slow: _Average = field(default_factory=lambda: _Average(SLOW_S))

    newest: float = math.inf

    def add(self, bits: float, seconds: float, elapsed: float, *, app_limited: bool) -> None:
        """One measurement: `bits` arrived within `seconds`; `elapsed` seconds since the one before."""
        if seconds <= 0 or bits <= 0:
            return
        sample, known = bits / seconds, self.capacity
        if app_limited and known is not None and sample <= known:
            return
        self.newest = sample
        for average in (self.fast, self.slow):
            average.add(sample, max(seconds, elapsed))

    @property
    def capacity(self) -> float | None:
        """The estimate in bits per second, None before the first measurement."""
        if not self.fast.weight:
            return None
        return min(self.fast.mean, self.slow.mean, self.newest)
