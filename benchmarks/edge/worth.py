"""Who answers soonest: the edge alone, the two halves, or a server that is sent a file; and where that changes.

Times are in milliseconds, links in kbit/s, which are bits a millisecond. All is linear in one unknown at a time:

    the edge alone   slowdown · whole_ms
    two halves       slowdown · edge_ms + 8 · payload_bytes / kbit + round_trip_ms + server_ms / speedup
    a file           slowdown · file_ms + 8 · file_bytes / kbit    + round_trip_ms + whole_ms / speedup
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ALONE, SPLIT, FILE = "the edge alone", "artoveq", "a WebP file"


@dataclass(frozen=True)
class Costs:
    """Of a picture, as measured on one core: to halve or not to halve a network."""

    edge_ms: float
    """The encoder, and the payload of what it gives."""
    server_ms: float
    whole_ms: float
    file_ms: float
    payload_bytes: float
    file_bytes: float


@dataclass(frozen=True)
class Setting:
    """Where the halves run: an edge so many times slower than that core, a server so many times faster, a link."""

    slowdown: float
    speedup: float
    round_trip_ms: float


@dataclass(frozen=True)
class Way:
    """To an answer: the milliseconds that it takes beside its bytes."""

    name: str
    ms: float
    payload_bytes: float

    def answers_after(self, kbit: float) -> float:
        """Milliseconds, over such a link."""
        return self.ms + 8 * self.payload_bytes / kbit


def ways(costs: Costs, setting: Setting) -> tuple[Way, Way, Way]:
    """The edge alone, two halves, and a file."""
    slowdown, speedup, round_trip = setting.slowdown, setting.speedup, setting.round_trip_ms
    split = slowdown * costs.edge_ms + round_trip + costs.server_ms / speedup
    file = slowdown * costs.file_ms + round_trip + costs.whole_ms / speedup
    alone = Way(ALONE, slowdown * costs.whole_ms, 0)
    return alone, Way(SPLIT, split, costs.payload_bytes), Way(FILE, file, costs.file_bytes)


def crossing_rate(one: Way, other: Way) -> float | None:
    """The kbit/s at which both answer at once; None where one of them is sooner over every link."""
    bits, ms = 8 * (one.payload_bytes - other.payload_bytes), other.ms - one.ms
    return bits / ms if bits * ms > 0 else None


def soonest(found: Sequence[Way]) -> list[tuple[float, Way]]:
    """Who answers soonest, from the slowest links on: the kbit/s from which each does, rising from 0."""
    best = min(found, key=lambda way: (way.payload_bytes, way.ms))
    turns = [(0.0, best)]
    while True:
        crossings = [(rate, way.ms, way) for way in found if way.ms < best.ms and (rate := crossing_rate(way, best))]
        if not crossings:
            return turns
        rate, _, best = min(crossings, key=lambda each: each[:2])
        turns.append((rate, best))


def crossing_slowdown(costs: Costs, setting: Setting, kbit: float) -> float | None:
    """How many times slower than the measured core an edge is that answers alone when two halves do.

    A slower one is better off with two halves; None where every one is with the whole network.
    """
    elsewhere = 8 * costs.payload_bytes / kbit + setting.round_trip_ms + costs.server_ms / setting.speedup
    saved = costs.whole_ms - costs.edge_ms
    return elsewhere / saved if saved > 0 else None


def crossing_size(costs: Costs, setting: Setting, kbit: float) -> float | None:
    """How many times larger both halves would have to be, for the same bytes, to answer when the edge alone does.

    With a larger network two halves are sooner; None where they are not with any.
    """
    saved = setting.slowdown * (costs.whole_ms - costs.edge_ms) - costs.server_ms / setting.speedup
    return (8 * costs.payload_bytes / kbit + setting.round_trip_ms) / saved if saved > 0 else None
