"""Run after run until an answer is sure, as SPINN (MobiCom 2020) goes from device to cloud: here by the byte."""

from __future__ import annotations

from edge_client.rate.adaptive import LIKELY, AdaptiveProgressive, following, most_for_its_bits
from edge_client.rate.points import RatedPoints
from edge_client.rate.policy import Event, Link, Plan, Progress


class Cascade:
    """A run goes once the answer to the one before is there, and was not sure enough to end the picture.

    Where that would leave no time for a further one, as `AdaptiveProgressive` has it: no answer is waited for.

    points: those of the chain alone, which give more than the edge's own answer.
    """

    def __init__(self) -> None:
        self._hurried = AdaptiveProgressive()

    def plan(self, points: RatedPoints, link: Link, deadline: float, now: float) -> Plan:
        """The run that gives most for its bits."""
        first = most_for_its_bits(points.bits, points.metric)
        planes, left = int(points.planes[first]), deadline - now - float(points.encode_s[0])
        if not _another_fits(points, planes, link, left, link.queued_bits + float(points.bits[first])):
            return self._hurried.plan(points, link, deadline, now)
        return Plan(int(points.number[-1]), (planes,))

    def observe(self, event: Event) -> Plan | None:
        """The next run, once the newest one is answered."""
        if not isinstance(event, Progress):
            return None
        points, link, left = event.points, event.link, event.deadline - event.now
        if event.answered < event.planes and _another_fits(points, event.planes, link, left, link.queued_bits):
            return None
        return self._hurried.observe(event)


def _another_fits(points: RatedPoints, planes: int, link: Link, left: float, bits: float) -> bool:
    """Whether a run after so many planes is likely in time, sent when these bits have been answered."""
    if planes >= points.planes[-1]:
        return True
    left -= link.estimator.overhead_s(link.round_trip)
    return bool(link.delivery(left).probability(bits + following(points, planes, link)[1]) > LIKELY)
