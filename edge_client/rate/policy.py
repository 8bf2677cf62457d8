"""The seam: who decides how each picture is sent.

class Cheapest:
    def plan(self, points, link, deadline, now):
        return Plan(point=min(points, key=lambda point: point.bits).number)

    def observe(self, event):
        return None

client = Client("localhost:50051", policy=Cheapest())
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from edge_client.rate.estimator import DeliveryDistribution, LinkEstimator
from edge_client.rate.points import RatedPoints
from edge_client.rate.uplink import Sample


@dataclass(frozen=True)
class Link:
    """A link at this moment.

    round_trip: seconds, without what our bits wait for. queued_bits: sent, and not arrived as far as is known.
    message_bits: what every further message for a picture takes around its payload.
    """

    estimator: LinkEstimator
    round_trip: float
    queued_bits: float = 0.0
    message_bits: float = 0.0

    @property
    def capacity(self) -> float | None:
        """Bits per second as measured, None before anything was."""
        return self.estimator.capacity

    def delivery(self, budget: float) -> DeliveryDistribution:
        """How many bits arrive and are answered within `budget` seconds."""
        return self.estimator.delivery(budget, self.round_trip)


@dataclass(frozen=True)
class Plan:
    """What to send next for a picture.

    point: its operating point; with `runs`, that of the last plane that may come.
    0, without a file: nothing, so that the edge's own answer stands.
    runs: up to which plane of the chain each of the next messages goes; empty: the whole point as a block.
    file: side and quality of a WebP file in place of all that.
    min_confidence: with `runs`, an answer that is so sure ends the picture, also the edge's own; None: the mode's.
    """

    point: int = 0
    runs: tuple[int, ...] = ()
    file: tuple[int, int] | None = None
    min_confidence: float | None = None


NOTHING = Plan()
"""No byte is sent; for models whose edge has an answer of its own."""


@dataclass(frozen=True)
class Progress:
    """A picture that goes plane by plane may send more: `planes` are sent, `arrived` of them are there, and the newest
    answer was made from `answered` of them.

    All other fields as in `RatePolicy.plan`.
    """

    now: float
    points: RatedPoints
    link: Link
    deadline: float
    planes: int
    arrived: int
    answered: int = 0


@dataclass(frozen=True)
class Completed:
    """A picture is over. answers: of the server, the point that each was made from, and when it was there.

    sample: what the picture told about the link, None where that cannot be told. sent_bytes: on the link, with what is
    around payloads.
    """

    now: float
    plan: Plan
    deadline: float
    answers: tuple[tuple[int, float], ...]
    link: Link
    sample: Sample | None = None
    sent_bytes: float = 0.0


Event = Progress | Completed


class RatePolicy(Protocol):
    """Chooses what is sent. All times are seconds of one monotonic clock, and come with each call."""

    def plan(self, points: RatedPoints, link: Link, deadline: float, now: float) -> Plan:
        """For a new picture that is wanted by `deadline`.

        Where a picture's own bits are known once it is encoded, this is asked again with them.
        """
        ...

    def observe(self, event: Event) -> Plan | None:
        """What has happened. After `Progress`: the next messages, where some should be sent now."""
        ...
