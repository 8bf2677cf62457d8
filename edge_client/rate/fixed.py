"""Always the same, whatever the link does."""

from __future__ import annotations

from dataclasses import dataclass

from edge_client.rate.points import RatedPoints
from edge_client.rate.policy import Event, Link, Plan


@dataclass(frozen=True)
class FixedPoint:
    """One operating point, as a block."""

    point: int

    def plan(self, points: RatedPoints, link: Link, deadline: float, now: float) -> Plan:
        """That one."""
        return Plan(self.point)

    def observe(self, event: Event) -> Plan | None:
        """There is nothing left to decide."""
        return None


@dataclass(frozen=True)
class FixedFile:
    """A WebP file of this side and quality."""

    side: int
    quality: int

    def plan(self, points: RatedPoints, link: Link, deadline: float, now: float) -> Plan:
        """That one."""
        return Plan(file=(self.side, self.quality))

    def observe(self, event: Event) -> Plan | None:
        """There is nothing left to decide."""
        return None
