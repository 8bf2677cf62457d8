"""How to choose the level, in simulated time: what carries most within the estimate, or what is likeliest right.

No process, no socket, no clock: a picture takes its bits over the trace, and a fixed time for everything else.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from benchmarks.link import traces
from benchmarks.link.drive import period_of
from edge_client.rate import SHORTEST_SAMPLE_S, Forecast, Sample, Way, choose
from edge_client.talk import AROUND_BYTES
from wire.artifact import load_artifact

SPENT_S = 0.012
"""What a picture takes beside its bits."""
FAST_S, SLOW_S, HOLD, RISE = 3.0, 9.0, 0.95, 0.7


class Rule(Protocol):
    """Chooses the level of the next picture, and learns what became of the last one."""

    def level(self, budget: float, capacity: float) -> int: ...

    def learn(self, sample: Sample, now: float) -> None: ...


class Oracle:
    """The highest accuracy that the true capacity, if it stays, carries in time."""

    def __init__(self, ways: Sequence[Way]) -> None:
        self._ways = ways

    def level(self, budget: float, capacity: float) -> int:
        fit = [way for way in self._ways if way.bits <= capacity * (budget - SPENT_S)]
        return max(fit, key=lambda way: (way.top1, -way.bits)).level if fit else self._ways[0].level

    def learn(self, sample: Sample, now: float) -> None:
        """It knows already."""


class TwoAverages:
    """The highest level within the lower of two averages, as streaming players estimate; rises cautiously."""

    def __init__(self, ways: Sequence[Way]) -> None:
        self._ways, self._averages, self._newest = ways, {FAST_S: (0.0, 0.0), SLOW_S: (0.0, 0.0)}, 0.0
        self._estimate, self._last, self._previous = 0.0, 0.0, 0

    def level(self, budget: float, capacity: float) -> int:
        def fitting(share: float) -> int:
            carried = share * self._estimate * (budget - SPENT_S)
            return max((way.level for way in self._ways if way.bits <= carried), default=0)

        hold = fitting(HOLD)
        self._previous = hold if hold <= self._previous else max(self._previous, fitting(RISE))
        return self._previous or self._ways[0].level

    def learn(self, sample: Sample, now: float) -> None:
        if sample.app_limited and sample.capacity <= self._estimate:
            return
        passed, self._last = max(sample.seconds, now - self._last), now
        for half_life, (value, weight) in self._averages.items():
            keep = 0.5 ** (passed / half_life)
            self._averages[half_life] = (keep * value + (1 - keep) * sample.capacity, keep * weight + 1 - keep)
        means = [value / weight for value, weight in self._averages.values()]
        self._estimate = min(*means, sample.capacity)


class ExpectedAccuracy:
    """What the edge does."""

    def __init__(self, ways: Sequence[Way]) -> None:
        self._ways, self._forecast = ways, Forecast()

    def level(self, budget: float, capacity: float) -> int:
        return choose(self._ways, self._forecast, budget, SPENT_S).level

    def learn(self, sample: Sample, now: float) -> None:
        self._forecast.learn(sample, SPENT_S, self._forecast.capacity, now)


RULES: dict[str, type[Oracle] | type[TwoAverages] | type[ExpectedAccuracy]] = {
    "oracle": Oracle,
    "two averages": TwoAverages,
    "expected accuracy": ExpectedAccuracy,
}


def rules(model: Path, budgets: Sequence[float]) -> list[dict[str, Any]]:
    """One row for each trace and deadline: accuracy in %, and deadlines met in %, of each rule."""
    manifest = load_artifact(model, edge=True).manifest
    ways = [Way(8 * (row.payload_bytes + AROUND_BYTES), row.top1, level=row.level) for row in manifest.levels]
    rows = []
    for name, budget in itertools.product(traces.ALL, budgets):
        row: dict[str, Any] = {"trace": name, "deadline_ms": round(1000 * budget)}
        for title, rule in RULES.items():
            row[title] = _follow(rule(ways), ways, name, budget)
        rows.append(row)
    return rows


def _follow(rule: Rule, ways: Sequence[Way], name: str, budget: float) -> dict[str, float]:
    period, by_level = period_of(budget), {way.level: way for way in ways}
    trace = traces.trace(name, ways[-1].bits / (budget - SPENT_S), period)
    free, worth, met = 0.0, 0.0, 0
    for k in range(traces.PICTURES):
        now = k * period
        if now < free:
            continue  # the last one is still on its way
        way = by_level[rule.level(budget, trace.capacity(now))]
        free = trace.carried(now, way.bits) + SPENT_S
        rule.learn(Sample(way.bits, max(free - SPENT_S - now, SHORTEST_SAMPLE_S / 2)), free)
        if free - now <= budget + 1e-9:
            worth += way.top1
            met += 1
    return {"accuracy": round(100 * worth / traces.PICTURES, 2), "met": round(100 * met / traces.PICTURES, 1)}
