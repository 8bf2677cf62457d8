"""A rate policy: a share of the capacity for every picture, and nothing learnt but the capacity."""

from __future__ import annotations

from edge_client.rate import Event, Link, Plan, RatedPoints


class HalfTheLink:
    """The best point that half of the measured capacity carries before the deadline; the cheapest, where none does."""

    def __init__(self) -> None:
        self.planned: list[int] = []

    def plan(self, points: RatedPoints, link: Link, deadline: float, now: float) -> Plan:
        """Eq. 4 of ARTOVeQ, with a factor of a half."""
        room = 0.5 * (link.capacity or 0.0) * (deadline - now - link.round_trip) - link.queued_bits
        fitting = [point for point in points if point.bits <= room and point.number]
        chosen = max(fitting, key=lambda point: point.metric, default=min(points, key=lambda point: point.bits))
        self.planned.append(chosen.number)
        return Plan(point=chosen.number)

    def observe(self, event: Event) -> Plan | None:
        """Nothing is refined, and nothing learnt."""
        return None
