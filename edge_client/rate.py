"""What the link can carry, and what to send over it. Pure; the clock is an argument."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from statistics import median

RISE_S = 0.15
"""Half-life of the estimate's way up; it comes down at once."""
AT_LEAST = 2.0
"""By what "at least" raises it, at most: a token bucket lets a packet pass at once on the slowest link."""
REMEMBERED = 100
"""Pictures whose fate a forecast is made from."""
ALIKE, OTHERWISE = 1.4, 0.2
"""What was sent at a capacity within this factor counts fully; anything else by so much: a slow link seldom drops
as a fast one does."""
LATE, FIRST_LATE = 0.15, 0.5
"""What a late answer costs, where a right one in time is worth 1; and a late first one that a better one may follow."""
PRIOR = (0.25, 0.5, 0.8, 0.95, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
"""What may become of a capacity, before anything was seen; all of them together weigh as much as one picture."""
SHORTEST_SAMPLE_S = 0.002
"""What arrives closer together than this may have come in one packet: the link is at least so fast."""
TRAIN_S = 0.01
"""From one arrival to the next at least, where these two alone are to tell the capacity: each is off by some."""
MARKS, FIRST_MARKS, MARK_S, MARK_SHARE = 8, 4, 2.0, 0.02
"""Marks that are remembered (a clock drifts little meanwhile), that are sent at once, the time between others at
least, and the share of it that they may take."""


@dataclass(frozen=True)
class Way:
    """One way to send a picture.

    bits: on the link, on average, the message around them included. top1: how often its answer is right.
    encode: seconds. level: of the codebook; point: (side, quality) of a WebP file in its place.
    """

    bits: float
    top1: float
    encode: float = 0.0
    level: int = 0
    point: tuple[int, int] | None = None


@dataclass(frozen=True)
class Sample:
    """`bits` took `seconds` on the link. behind: they waited, so that no token bucket let them pass at once."""

    bits: float
    seconds: float
    behind: bool = False

    @property
    def app_limited(self) -> bool:
        """Whether the capacity is at least this, rather than this."""
        return self.seconds < SHORTEST_SAMPLE_S

    @property
    def train(self) -> bool:
        """Whether this tells the capacity alone."""
        return self.behind and self.seconds > TRAIN_S

    @property
    def capacity(self) -> float:
        """Bits per second."""
        return self.bits / max(self.seconds, SHORTEST_SAMPLE_S)

    def __add__(self, other: Sample) -> Sample:
        """Both, but a train alone where there is one: what is first may find a token bucket full and pass at once."""
        if self.train != other.train:
            return self if self.train else other
        return Sample(self.bits + other.bits, self.seconds + other.seconds, self.train)


@dataclass
class Uplink:
    """How long messages are on the link, from the times of two clocks that do not agree.

    A mark of P bits leaves an idle edge at e and arrives at m; the next message, of B bits, leaves at e' and arrives
    at m'. Both clocks run alike, so (m' − e') − (m − e) is how much longer the message was under way, and on an idle
    link that is (B − P) / C: so it had the link for this · B / (B − P), and no longer than m' − m. Now it
    is known how long the mark took, and by that how far the clocks are apart.
    With that known, any message has the link from when it would arrive if it took no time, or
    from when the one before it had arrived, to when it arrives itself. All times in seconds.
    """

    apart: deque[float] = field(default_factory=lambda: deque(maxlen=MARKS))
    """The server's clock less ours, and the way. Their median counts: a mark is held up now and then."""
    mark: tuple[float, float, float] | None = None
    """Of a mark that nothing has followed yet: when it left and arrived, and its bits."""
    mark_took: float = 0.0
    """Seconds that the newest mark had the link, as far as is known."""
    marked_at: float = -math.inf
    newest: float = -math.inf
    """When the newest message arrived, on the server's clock."""

    def marked(self, left: float, arrived: float, bits: float) -> None:
        """A mark of so many bits has arrived."""
        self.mark = (left, arrived, bits)
        self.marked_at, self.newest = left, arrived

    def mark_due(self, now: float) -> bool:
        """Often at first, then from time to time, but never for more than a small share of it."""
        return len(self.apart) < FIRST_MARKS or now > self.marked_at + max(MARK_S, self.mark_took / MARK_SHARE)

    def arrived(self, left: float, arrived: float, bits: float) -> Sample | None:
        """The next message; None where nothing is known of the clocks."""
        before, self.newest = self.newest, arrived
        mark, self.mark = self.mark, None
        if mark is not None:
            mark_left, mark_arrived, mark_bits = mark
            seconds, longer = arrived - mark_arrived, (arrived - left) - (mark_arrived - mark_left)
            if bits > mark_bits:
                seconds = min(seconds, max(0.0, longer) * bits / (bits - mark_bits))
            self.mark_took = seconds * mark_bits / bits
            self.apart.append(mark_arrived - mark_left - self.mark_took)
        if not self.apart:
            return None
        if arrived - left < median(self.apart):  # nothing takes less than no time
            self.apart = deque((min(apart, arrived - left) for apart in self.apart), MARKS)
        left_by_theirs = left + median(self.apart)
        return Sample(bits, arrived - max(before, left_by_theirs), behind=before > left_by_theirs)


@dataclass(frozen=True)
class Fate:
    """What a picture met. spent: seconds on other things than sending. ratio: capacity, by the one that was expected.
    expected: that one, in bits per second; None where nothing was known."""

    spent: float
    ratio: float
    expected: float | None

    def weight(self, capacity: float) -> float:
        """How much it says about a picture that is sent at this capacity."""
        return 1.0 if self.expected and 1 / ALIKE < self.expected / capacity < ALIKE else OTHERWISE


@dataclass
class Forecast:
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
    fates: deque[Fate] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def learn(self, sample: Sample | None, spent: float, expected: float | None, now: float) -> None:
        """One picture: its time on the link, its latency without that, and the capacity that was expected for it."""
        ratio = 1.0
        if sample is not None and expected and not (sample.app_limited and sample.capacity < expected):
            ratio = sample.capacity / expected
        self.fates.append(Fate(spent, ratio, expected))
        self.measured(sample, now)

    def measured(self, sample: Sample | None, now: float) -> None:
        """Follows the capacity."""
        known = self.capacity
        if sample is not None and (known is None or not sample.app_limited or sample.capacity > known):
            met = min(sample.capacity, AT_LEAST * known) if known and sample.app_limited else sample.capacity
            keep = 0.5 ** (max(0.0, now - self.newest) / RISE_S) if known and met > known else 0.0
            self.capacity = keep * (known or 0.0) + (1 - keep) * met
        self.newest = now

    def at_most(self, sample: Sample | None) -> None:
        """What a picture in the midst of being sent says: what has arrived of it, or is overdue."""
        if sample is not None and not sample.app_limited and self.capacity is not None:
            self.capacity = min(self.capacity, sample.capacity)

    def spent(self, unknown: float) -> float:
        """Seconds that a picture usually takes beside its bits; `unknown` before the first."""
        return median(fate.spent for fate in self.fates) if self.fates else unknown

    def room(self, budget: float, spent: float) -> Room:
        """What arrives and is answered within `budget` seconds.

        spent: seconds that other things take, as long as nothing has been learnt.
        """
        known = self.capacity
        if known is None:
            return Room([], [0.0], [])
        spent = self.spent(spent)
        seen = sorted((known * fate.ratio * (budget - fate.spent), fate.weight(known)) for fate in self.fates)
        weights = accumulate((weight for _, weight in reversed(seen)), initial=0.0)
        prior = [known * ratio * (budget - spent) for ratio in PRIOR]
        return Room([bits for bits, _ in seen], list(weights)[::-1], prior)


@dataclass(frozen=True)
class Room:
    """For how many bits there would have been time. seen: each time, sorted; weights: of it and all that follow."""

    seen: list[float]
    weights: list[float]
    prior: list[float]

    def chance(self, bits: float) -> float:
        """The probability that so many bits are in time."""
        if not self.prior:
            return 0.0
        fit = len(self.prior) - bisect_left(self.prior, bits)
        return (self.weights[bisect_left(self.seen, bits)] + fit / len(self.prior)) / (self.weights[0] + 1)


def choose(ways: Sequence[Way], forecast: Forecast, budget: float, spent: float, queued: float = 0.0) -> Way:
    """The way that is worth most: top1 · P(in time) − LATE · P(late).

    queued: bits that are on the link before it.
    Eq. 4 of ARTOVeQ takes the highest level that C carries within τ. Accuracy hardly grows at the
    top, so that the last levels are seldom worth the risk that C is less by then.
    Where nothing is known, or nothing can be in time, it is the way with the fewest bits.
    """
    rooms = {encode: forecast.room(budget - encode, spent) for encode in {way.encode for way in ways}}
    worth = {way: (way.top1 + LATE) * rooms[way.encode].chance(way.bits + queued) for way in ways}
    best = max(ways, key=lambda way: (worth[way], -way.bits))
    return best if worth[best] else min(ways, key=lambda way: way.bits)


def choose_steps(
    ways: Sequence[Way], forecast: Forecast, budget: float, spent: float, message_bits: float, queued: float = 0.0
) -> list[int]:
    """Up to which levels the first messages of a progressive picture go: one or two of them.

    ways: levels of one codebook, lowest first. queued: as in `choose`. The second message is worth its bits
    where the first is safer alone; after it, planes go one by one. Levels (k, l) are worth
    P(l) · top1(l) + (P(k) − P(l)) · top1(k) − FIRST_LATE · (1 − P(k)).
    """
    room = forecast.room(budget - ways[0].encode, spent)
    first = [room.chance(way.bits + queued) for way in ways]
    alone = [chance * (way.top1 + FIRST_LATE) for way, chance in zip(ways, first, strict=True)]
    plans = [(worth, -1, [way.level]) for way, worth in zip(ways, alone, strict=True)]
    for i, high in enumerate(ways):
        second = room.chance(high.bits + message_bits + queued)
        for low, worth in zip(ways[:i], alone, strict=False):
            plans.append((worth + second * (high.top1 - low.top1), -2, [low.level, high.level]))
    worth, _, steps = max(plans, key=lambda plan: (plan[0], plan[1], -plan[2][-1]))
    return steps if worth else [ways[0].level]
