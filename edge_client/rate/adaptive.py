"""What is likeliest right and in time, as it went with the pictures before."""

from __future__ import annotations

import numpy as np

from edge_client.rate.estimator import Floats
from edge_client.rate.points import RatedPoints, hull
from edge_client.rate.policy import Event, Link, Plan, Progress

LATE, FIRST_LATE = 0.15, 0.5
"""What a late answer costs, where a right one in time is worth 1; and a late first one that a better one may follow."""
ALIKE = 1e-9
"""Two plans whose worth differs by less are alike."""
LIKELY = 0.5
"""A later message is sent where it is likelier than this to be in time."""
MESSAGES = 8
"""Messages that a whole chain goes in, once its first ones are sent: around each is about as much as in it."""


class AdaptiveOneShot:
    """The point (or file) that is worth most: metric · P(in time) − LATE · P(late).

    Eq. 4 of ARTOVeQ takes the highest level that C carries within τ. Accuracy hardly grows at the
    top, so that the last levels are seldom worth the risk that C is less by then.
    Where nothing is known, or nothing can be in time, it is the one that gives most for its bits.
    """

    def plan(self, points: RatedPoints, link: Link, deadline: float, now: float) -> Plan:
        """One message."""
        worth = (points.metric + LATE) * in_time(points, link, deadline - now)
        if not worth.any():
            best = most_for_its_bits(points.bits, points.metric)
        else:
            best = int(np.where(worth == worth.max(), points.bits, np.inf).argmin())
        return Plan(int(points.number[best]), file=points.file(best))

    def observe(self, event: Event) -> Plan | None:
        """There is nothing left to decide."""
        return None


class AdaptiveProgressive:
    """First the planes that are nearly sure, then those that are best on average, then run after run.

    points: those of the chain alone.
    """

    def plan(self, points: RatedPoints, link: Link, deadline: float, now: float) -> Plan:
        """One or two messages. The second is worth its bits where the first is safer alone. (k, l) are worth

        P(l) · metric(l) + (P(k) − P(l)) · metric(k) − FIRST_LATE · (1 − P(k)).
        """
        chosen = hull(points.bits, points.metric)
        bits, metric = points.bits[chosen] + link.queued_bits, points.metric[chosen]
        delivery = link.delivery(deadline - now - float(points.encode_s[0]))
        alone = delivery.probability(bits) * (metric + FIRST_LATE)
        second = delivery.probability(bits + link.message_bits)
        both = alone[:, None] + second[None, :] * (metric[None, :] - metric[:, None])
        both[bits[:, None] >= bits[None, :]] = -np.inf
        best, last, planes = int(alone.argmax()), int(points.number[-1]), points.planes[chosen]
        if not alone[best]:
            best = most_for_its_bits(bits, metric)
        if both.max() <= alone[best]:
            return Plan(last, (int(planes[best]),))
        alike = np.flatnonzero(both.max(1) >= both.max() - ALIKE)
        low = int(alike[most_for_its_bits(bits[alike], metric[alike])])
        high = int(both[low].argmax())
        run_bits = following(points, int(planes[low]), link)[1]
        if delivery.probability(bits[low] + run_bits) <= LIKELY:  # later, perhaps
            return Plan(last, (int(planes[low]),))
        return Plan(last, (int(planes[low]), int(planes[high])))

    def observe(self, event: Event) -> Plan | None:
        """The next run, where it is likelier in time than not, and about one round trip of data is in flight.

        Else it would only be in the way of the next picture.
        """
        if not isinstance(event, Progress):
            return None
        points, link, left = event.points, event.link, event.deadline - event.now
        if left <= 0 or event.planes >= points.planes[-1]:
            return None
        planes, run_bits = following(points, event.planes, link)
        window = 1 + round((link.capacity or 0.0) * link.round_trip / run_bits)
        if event.planes - event.arrived >= window * run_of(points):
            return None
        if link.capacity is not None and link.delivery(left).probability(link.queued_bits + run_bits) <= LIKELY:
            return None
        return Plan(int(points.number[-1]), (planes,))


def most_for_its_bits(bits: Floats, metric: Floats) -> int:
    """Which has the highest metric for a bit, what is around its payload included; the cheapest of several."""
    gives = metric / bits
    return int(np.where(gives == gives.max(), bits, np.inf).argmin())


def run_of(points: RatedPoints) -> int:
    """Planes of the chain in a later message."""
    return -(-int(points.planes[-1]) // MESSAGES)


def following(points: RatedPoints, planes: int, link: Link) -> tuple[int, float]:
    """Up to which plane the message after so many planes goes, and its bits on the link."""
    until = min(planes + run_of(points), int(points.planes[-1]))
    begun, ended = points.planes.searchsorted((planes, until))
    return until, float(points.bits[ended] - points.bits[begun]) + link.message_bits


def in_time(points: RatedPoints, link: Link, budget: float) -> Floats:
    """The probability that each point's answer is there within `budget` seconds."""
    bits, encode_s = points.bits + link.queued_bits, points.encode_s
    if encode_s.min() == encode_s.max():
        return link.delivery(budget - float(encode_s[0])).probability(bits)
    found = np.zeros(len(points))
    for seconds in np.unique(encode_s):
        these = encode_s == seconds
        found[these] = link.delivery(budget - float(seconds)).probability(bits[these])
    return found
