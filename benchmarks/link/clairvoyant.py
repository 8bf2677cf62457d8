"""The bound beside the policies: a schedule that knows the whole trace, and every picture. No policy can beat it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_client.rate import Event, Link, Plan, RatedPoints
from edge_client.transport.emulated import CapacityTrace


@dataclass(frozen=True)
class Clairvoyant:
    """A `RatePolicy` that follows the best schedule there is.

    bits: that each picture takes on the link at each point, all around it included (N, P).
    values: what its answer from that point is worth (N, P); nothing where it is late.
    taken: when each is taken, in seconds of the trace (N,). overhead_s: that no answer does without, beside its bits.
    """

    trace: CapacityTrace
    bits: NDArray[np.float64]
    values: NDArray[np.float64]
    taken: Sequence[float]
    budget: float
    overhead_s: float
    schedule: list[int] = field(init=False)
    """The point of each picture, from 1; 0: it is not sent."""
    bound: float = field(init=False)
    """The mean value of a picture."""

    def __post_init__(self) -> None:
        value, _, schedule = max(self._search(), key=lambda state: state[0])
        object.__setattr__(self, "schedule", schedule)
        object.__setattr__(self, "bound", value / len(self.taken))

    def plan(self, points: RatedPoints, link: Link, deadline: float, now: float) -> Plan:
        """The picture is known by its deadline, in seconds of the trace."""
        k = bisect_left(self.taken, deadline - self.budget - 1e-6)
        return Plan(self.schedule[k] or 1)

    def observe(self, event: Event) -> Plan | None:
        """It knows already."""
        return None

    def _search(self) -> list[tuple[float, float, list[int]]]:
        """States (value so far, when the link is free, points so far): none is both worth less and free later.

        What would be late is not sent, and of what is worth no more the cheapest is.
        """
        states: list[tuple[float, float, list[int]]] = [(0.0, 0.0, [])]
        for k, at in enumerate(self.taken):
            found = []
            order = np.argsort(self.bits[k])
            better = self.values[k][order] > np.maximum.accumulate(np.concatenate([[0.0], self.values[k][order][:-1]]))
            for value, free, schedule in states:
                found.append((value, max(free, at), [*schedule, 0]))
                for p in order[better]:
                    done = self.trace.carried(max(free, at), float(self.bits[k, p]))
                    if done + self.overhead_s > at + self.budget + 1e-9:
                        break
                    found.append((value + float(self.values[k, p]), done, [*schedule, int(p) + 1]))
            following = self.taken[k + 1] if k + 1 < len(self.taken) else float("inf")
            states = _best(found, following)
        return states


def _best(states: list[tuple[float, float, list[int]]], following: float) -> list[tuple[float, float, list[int]]]:
    """Those that no other beats; when the link is free before the next picture is of no matter."""
    kept: list[tuple[float, float, list[int]]] = []
    for state in sorted(states, key=lambda state: (max(state[1], following if following < 1e300 else 0.0), -state[0])):
        if not kept or state[0] > kept[-1][0]:
            kept.append(state)
    return kept
