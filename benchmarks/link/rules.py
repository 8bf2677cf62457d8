"""How to choose the point, in simulated time: what carries most within the estimate, or what is likeliest right.

No process, no socket, no clock: a picture takes its bits over the trace, and a fixed time for everything else.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.link import traces
from benchmarks.link.clairvoyant import Clairvoyant
from benchmarks.link.drive import AROUND_BYTES, cell, period_of, worst
from benchmarks.results import Bar
from edge_client.rate import (
    AdaptiveOneShot,
    Completed,
    Event,
    Link,
    LinkEstimator,
    Plan,
    RatedPoint,
    RatedPoints,
    RatePolicy,
    Sample,
)
from edge_client.rate.uplink import SHORTEST_SAMPLE_S
from edge_client.transport.emulated import CapacityTrace
from wire.artifact import load_artifact

OVERHEAD_S = 0.012
"""What a picture takes beside its bits."""
FAST_S, SLOW_S, HOLD, RISE = 3.0, 9.0, 0.95, 0.7
MOST_BEHIND = 1.5
"""Points of accuracy that ours may lie behind the schedule that knows all."""


class TwoAverages:
    """The best point within the lower of two averages, as streaming players estimate; rises cautiously."""

    def __init__(self) -> None:
        self._averages, self._last = {FAST_S: (0.0, 0.0), SLOW_S: (0.0, 0.0)}, 0.0
        self._estimate, self._previous = 0.0, -1

    def plan(self, points: RatedPoints, link: Link, deadline: float, now: float) -> Plan:
        """What `HOLD` of the estimate carries, but no more than before unless `RISE` of it does."""

        def fitting(share: float) -> int:
            carried = share * self._estimate * (deadline - now - OVERHEAD_S)
            fit = np.flatnonzero(points.bits <= carried)
            return int(fit[points.metric[fit].argmax()]) if len(fit) else -1

        hold = fitting(HOLD)
        self._previous = hold if hold <= self._previous else max(self._previous, fitting(RISE))
        return Plan(int(points.number[max(self._previous, 0)]))

    def observe(self, event: Event) -> Plan | None:
        """Follows the samples."""
        sample = event.sample if isinstance(event, Completed) else None
        if sample is None or (sample.app_limited and sample.capacity <= self._estimate):
            return None
        passed, self._last = max(sample.seconds, event.now - self._last), event.now
        for half_life, (value, weight) in self._averages.items():
            keep = 0.5 ** (passed / half_life)
            self._averages[half_life] = (keep * value + (1 - keep) * sample.capacity, keep * weight + 1 - keep)
        self._estimate = min(*(value / weight for value, weight in self._averages.values()), sample.capacity)
        return None


RULES: dict[str, Callable[[], RatePolicy]] = {
    "two averages": TwoAverages,
    "expected accuracy": AdaptiveOneShot,
}


def rules(model: Path, budgets: Sequence[float]) -> list[dict[str, Any]]:
    """One row for each trace and deadline: accuracy in %, and deadlines met in %, of each rule."""
    manifest = load_artifact(model, edge=True).manifest
    points = RatedPoints.of(
        [
            RatedPoint(number, 8 * (point.mean_bytes + AROUND_BYTES), point.metric)
            for number, point in enumerate(manifest.points, 1)
        ]
    )
    highest = points[max(manifest.levels.values()) - 1].bits
    rows = []
    for name, budget in itertools.product(traces.ALL, budgets):
        trace = traces.trace(name, highest / (budget - OVERHEAD_S), period_of(budget))
        row: dict[str, Any] = {"trace": name, "deadline_ms": round(1000 * budget)}
        row["clairvoyant"] = _follow(_clairvoyant(points, trace, budget), points, trace, budget)
        for title, rule in RULES.items():
            row[title] = _follow(rule(), points, trace, budget)
        rows.append(row)
    return rows


def bars(rows: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """How far ours is behind the best schedule."""
    behind = {cell(row): row["clairvoyant"]["accuracy"] - row["expected accuracy"]["accuracy"] for row in rows}
    behind = {where: round(points, 2) for where, points in behind.items()}
    return [worst("points behind clairvoyant", behind, MOST_BEHIND, "at most")]


def _clairvoyant(points: RatedPoints, trace: CapacityTrace, budget: float) -> Clairvoyant:
    count = traces.PICTURES
    taken = [k * period_of(budget) for k in range(count)]
    return Clairvoyant(
        trace, np.tile(points.bits, (count, 1)), np.tile(points.metric, (count, 1)), taken, budget, OVERHEAD_S
    )


def _follow(policy: RatePolicy, points: RatedPoints, trace: CapacityTrace, budget: float) -> dict[str, float]:
    period, estimator = period_of(budget), LinkEstimator()
    free, worth, met = 0.0, 0.0, 0
    for k in range(traces.PICTURES):
        now = k * period
        if now < free:
            continue  # the last one is still on its way
        link = Link(estimator, OVERHEAD_S)
        plan = policy.plan(points, link, now + budget, now)
        point = points[plan.point - 1]
        free = trace.carried(now, point.bits) + OVERHEAD_S
        sample = Sample(point.bits, max(free - OVERHEAD_S - now, SHORTEST_SAMPLE_S / 2))
        estimator.learn(sample, OVERHEAD_S, estimator.capacity, free)
        policy.observe(Completed(free, plan, now + budget, ((plan.point, free),), link, sample))
        if free - now <= budget + 1e-9:
            worth += point.metric
            met += 1
    return {"accuracy": round(100 * worth / traces.PICTURES, 2), "met": round(100 * met / traces.PICTURES, 1)}
