"""The link benchmark: its traces, its plan, its books, and small runs over the relay and between namespaces."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.link import traces
from benchmarks.link.deadlines import Run, deadlines, faults, plan
from benchmarks.link.drive import METHODS, Tick, period_of, summary
from benchmarks.link.kernel import kernel
from benchmarks.link.rules import rules
from benchmarks.service.load import sample_crops
from edge_client import Prediction, Result
from tests.conftest import MODEL
from wire.artifact import Artifact
from wire.exceptions import SettingsError

BUDGETS = (0.03, 0.1, 0.5)


@pytest.mark.parametrize("name", traces.ALL)
def test_a_trace_is_as_hard_at_every_deadline(name: str) -> None:
    shapes = [traces.trace(name, 1e4 / budget, period_of(budget)) for budget in BUDGETS]
    for budget, shape in zip(BUDGETS, shapes, strict=True):
        share = [shape.capacity(k * period_of(budget)) * budget / 1e4 for k in range(traces.PICTURES)]
        assert share == pytest.approx([shapes[0].capacity(k * period_of(0.03)) * 3e-6 for k in range(traces.PICTURES)])
        assert traces.varies_twofold(name) == (max(share) > 2 * min(share)) == (name != "constant")


def test_runs_at_the_same_time_are_out_of_step_and_never_of_one_method() -> None:
    runs = plan(list(traces.ALL), BUDGETS, 5.0, 300)
    assert {(run.trace, run.deadline, run.method) for run in runs} == {
        (name, budget, method) for name in traces.ALL for budget in BUDGETS for method in METHODS
    }
    assert len(runs) == len(traces.ALL) * len(BUDGETS) * len(METHODS)
    at_once: dict[float, list[Run]] = {}
    for run in runs:
        at_once.setdefault(run.began, []).append(run)
    for group in at_once.values():
        phases = sorted(run.phase for run in group)
        assert all(b - a >= 0.019 for a, b in pairwise(phases))
        assert phases[-1] < period_of(group[0].deadline)
        assert len({run.deadline for run in group}) == 1
    starts = sorted((began, group[0]) for began, group in at_once.items())
    assert all(b - a > 300 * period_of(run.deadline) for (a, run), (b, _) in pairwise(starts))


def answered(level: int, *after: float) -> Result:
    predictions = [Prediction(planes, (), False, seconds, 0.0, 0.0) for planes, seconds in enumerate(after, level)]
    return Result(level, 0.1, 1e4, 0.01, payload_bytes=100, predictions=predictions)


def test_a_late_answer_is_a_wrong_one(artifact: Artifact) -> None:
    client: Any = SimpleNamespace(encoder=SimpleNamespace(manifest=artifact.manifest))
    top1 = {row.level: row.top1 for row in artifact.manifest.levels}
    ticks = [
        Tick(0.0, answered(1, 0.05, 0.09, 0.2)),  # two planes in time, a third one late
        Tick(1.0, answered(8, 0.3)),  # late
        Tick(2.0),  # not sent
        Tick(3.0, answered(4, 0.1)),
    ]
    fast = traces.trace("constant", 1e9, 1.0)
    found = summary(ticks, client, fast, 0.1, 0.01)
    assert found["accuracy"] == pytest.approx(100 * (top1[2] + top1[4]) / 4, abs=0.01)
    assert found["met"] == found["met_where_possible"] == 50
    assert found["switches"] == 2
    slow = summary(ticks, client, traces.trace("constant", 1e9, 1.0), 0.01, 0.02)
    assert slow["possible"] == 0 and slow["met"] == 0


def row(method: str, accuracy: float, met: float = 100.0, trace: str = "step") -> dict[str, Any]:
    return {
        "trace": trace, "deadline_ms": 100, "method": method, "accuracy": accuracy, "met_where_possible": met,
    }  # fmt: skip


def test_what_ours_does_not_do_is_said() -> None:
    good = [row("oracle", 80), row("one-shot", 79.5), row("progressive", 79.4), row("level 1", 70), row("level 8", 60)]
    assert faults(good) == []
    assert len(faults([*good[:2], row("progressive", 78.9), *good[3:]])) == 1  # behind the oracle
    assert len(faults([*good[:2], row("progressive", 79.4, met=98.9), *good[3:]])) == 1
    assert len(faults([*good[:3], row("level 1", 79.45)])) == 1  # better than progressive
    assert faults([{**r, "trace": "constant"} for r in [*good[:3], row("level 1", 79.45)]]) == []


def test_in_simulated_time_the_edge_is_near_an_oracle() -> None:
    rows = rules(MODEL, (0.1,))
    assert [row["trace"] for row in rows] == list(traces.ALL)
    for found in rows:
        assert found["oracle"]["accuracy"] - found["expected accuracy"]["accuracy"] < 1.0, found
        assert found["expected accuracy"]["met"] >= found["oracle"]["met"] - 1.0, found
    behind = [found["oracle"]["accuracy"] - found["two averages"]["accuracy"] for found in rows]
    assert max(behind) > 1.0  # or the simpler rule would do


def test_every_method_follows_a_trace_over_the_relay() -> None:
    rows = deadlines(MODEL, sample_crops(64, 6), ["step"], [0.25], 8)
    assert [row["method"] for row in rows] == list(METHODS)
    assert all(row["pictures"] == 8 and row["bytes"] > 40 for row in rows)
    assert all(row["accuracy"] > 0 for row in rows if row["method"] in ("level 1", "one-shot", "progressive"))


def test_every_method_follows_a_trace_between_namespaces() -> None:
    try:
        rows = kernel(MODEL, sample_crops(64, 6), ["step"], 0.25, 8)
    except SettingsError as error:
        pytest.skip(str(error))
    assert [row["method"] for row in rows] == [method for method in METHODS if method != "oracle"]
    assert all(row["pictures"] == 8 and row["bytes"] > 40 for row in rows)
    assert all(row["accuracy"] > 0 for row in rows if row["method"] in ("level 1", "one-shot", "progressive"))
