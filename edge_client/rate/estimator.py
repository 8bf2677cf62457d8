"""What is known of a link: its capacity, and how pictures fared on it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_client.rate.uplink import Sample

Floats = NDArray[np.float64]

RISE_S = 0.15
"""Half-life of the estimate's way up; it comes down at once."""
AT_LEAST = 2.0
"""By what "at least" raises it, at most: a token bucket lets a packet pass at once on the slowest link."""
LATELY_S = 10.0
"""For so long a measured capacity is news."""
REMEMBERED = 100
"""Pictures whose outcome the estimator remembers."""
ALIKE, OTHERWISE = 1.4, 0.2
"""What was sent at a capacity within this factor counts fully; anything else by so much: a slow link seldom drops
as a fast one does."""
SPREAD = (0.1, 0.9)
"""Shares of the pictures that find less than the ends of what `spread` gives."""
PRIOR = np.array((0.25, 0.5, 0.8, 0.95, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0))
"""What may become of a capacity, before anything was seen; all of them together weigh as much as one picture."""
NOTHING = np.empty(0)


@dataclass
class LinkEstimator:
    """Whether so many bits will be there in time: as it went with each of the newest pictures.

    The capacity is the newest one measured where that is lower, else it rises within about `RISE_S`.
    Each picture leaves what it spent on other things than sending (round trip, queue, decoding), and
    the ratio of the capacity that it met to the one that was expected. The next one is taken to fare like one of
    them, rather one that was sent at about this capacity: so a link that drops once in twenty pictures makes the
    twentieth count.
    """

    capacity: float | None = None
    """Bits per second, None before the first sample."""
    newest: float = 0.0
    filled: tuple[float, float] | None = None
    """The capacity at the newest sample that filled the link, and when that was."""
    outcomes: Floats = field(default_factory=lambda: np.empty((0, 3)))
    """What the newest pictures met, the oldest first: rows of seconds on other things than sending, the capacity by the
    one that was expected, and that one in bits per second, 0 where nothing was known. `learn` adds to them."""

    def learn(self, sample: Sample | None, overhead_s: float, expected: float | None, now: float) -> None:
        """One picture: its time on the link, its latency without that, and the capacity that was expected for it."""
        ratio = 1.0
        if sample is not None and expected and not (sample.app_limited and sample.capacity < expected):
            ratio = sample.capacity / expected
        newest = np.array([[overhead_s, ratio, expected or 0.0]])
        self.outcomes = np.concatenate([self.outcomes[1 - REMEMBERED :], newest])
        self.measured(sample, now)

    def measured(self, sample: Sample | None, now: float) -> None:
        """Follows the capacity."""
        known = self.capacity
        if sample is not None and (known is None or not sample.app_limited or sample.capacity > known):
            met = min(sample.capacity, AT_LEAST * known) if known and sample.app_limited else sample.capacity
            keep = 0.5 ** (max(0.0, now - self.newest) / RISE_S) if known and met > known else 0.0
            self.capacity = keep * (known or 0.0) + (1 - keep) * met
        if sample is not None and not sample.app_limited:
            self.filled = sample.capacity, now
        self.newest = now

    def seen(self, now: float) -> float | None:
        """What to tell people: the capacity where something has filled the link lately, and no "at least"."""
        return self.filled[0] if self.filled is not None and now <= self.filled[1] + LATELY_S else None

    def spread(self) -> tuple[float, float] | None:
        """Capacities between which four of five pictures are expected to find the link, as the newest ones found it."""
        if self.capacity is None or not len(self.outcomes):
            return None
        _, ratio, expected = self.outcomes.T
        weight = self._weight(expected, self.capacity)
        order = ratio.argsort()
        share = weight[order].cumsum() / weight.sum()
        low, high = (self.capacity * ratio[order][share.searchsorted(part)] for part in SPREAD)
        return float(low), float(high)

    def at_most(self, sample: Sample | None) -> None:
        """What a picture in the midst of being sent says: what has arrived of it, or is overdue."""
        if sample is not None and not sample.app_limited and self.capacity is not None:
            self.capacity = min(self.capacity, sample.capacity)

    def overhead_s(self, unknown: float) -> float:
        """Seconds that a picture usually takes beside its bits; `unknown` before the first."""
        if not len(self.outcomes):
            return unknown
        ordered, middle = np.sort(self.outcomes[:, 0]), (len(self.outcomes) - 1) / 2
        return float(ordered[math.floor(middle)] + ordered[math.ceil(middle)]) / 2

    @staticmethod
    def _weight(expected: Floats, known: float) -> Floats:
        """How much each picture counts, by the capacity that was expected for it."""
        return np.where((known < ALIKE * expected) & (expected < ALIKE * known), 1.0, OTHERWISE)

    def delivery(self, budget: float, overhead_s: float) -> DeliveryDistribution:
        """How many bits arrive and are answered within `budget` seconds.

        overhead_s: seconds that other things take, as long as nothing has been learnt.
        """
        known = self.capacity
        if known is None:
            return DeliveryDistribution(NOTHING, np.zeros(1), NOTHING)
        overhead, ratio, expected = self.outcomes.T
        prior = known * PRIOR * (budget - self.overhead_s(overhead_s))
        weight = self._weight(expected, known)
        bits = known * ratio * (budget - overhead)
        order = bits.argsort()
        weights = np.concatenate([weight[order][::-1].cumsum()[::-1], np.zeros(1)])
        return DeliveryDistribution(bits[order], weights, prior if prior[0] >= 0 else prior[::-1])


@dataclass(frozen=True)
class DeliveryDistribution:
    """For how many bits there would have been time. seen: each time, sorted; weights: of it and all that follow."""

    seen: Floats
    weights: Floats
    prior: Floats

    def probability(self, bits: ArrayLike) -> Floats:
        """The probability that so many bits are in time, of each."""
        bits = np.asarray(bits, np.float64)
        if not len(self.prior):
            return np.zeros(bits.shape)
        fit = 1.0 - self.prior.searchsorted(bits) / len(self.prior)
        return np.asarray((self.weights[self.seen.searchsorted(bits)] + fit) / (self.weights[0] + 1))
