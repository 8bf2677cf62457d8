"""The link benchmark: its traces, its plan, its bound, its books, and small runs over the relay and namespaces."""

from __future__ import annotations

from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.link import traces
from benchmarks.link.bound import ALL, bound_row, known
from benchmarks.link.clairvoyant import Clairvoyant
from benchmarks.link.deadlines import Run, bars, deadlines, plan
from benchmarks.link.drive import AROUND_BYTES, METHODS, Tick, method_of, period_of, summary
from benchmarks.link.extremes import Link, extremes, figures, interrupted
from benchmarks.link.families import Sent, by_family, compare, unused_share
from benchmarks.link.kernel import kernel
from benchmarks.link.rules import rules
from benchmarks.results import read_results
from benchmarks.service.load import sample_crops
from edge_client import Answer, Result
from edge_client.transport.emulated import CapacityTrace
from tests.conftest import MODEL
from training.data import Split
from wire.artifact import Artifact
from wire.pictures import fit_picture
from wire.tasks.classification import Classification, ClassProbability

BUDGETS = (0.03, 0.1, 0.5)
LABELS = [0, 1, 2, 3, 4, 5]


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


@given(
    st.lists(st.tuples(st.floats(0.05, 2), st.floats(500, 5000)), min_size=1, max_size=4),
    st.lists(st.tuples(*[st.floats(10, 2000)] * 3, *[st.floats(0, 1)] * 3), min_size=1, max_size=4),
    st.floats(0.05, 1.0),
    st.floats(0.1, 1.0),
)
@settings(deadline=None)
def test_no_schedule_is_worth_more_than_the_clairvoyant_one(
    steps: list[tuple[float, float]], pictures: list[tuple[float, ...]], period: float, budget: float
) -> None:
    """Also where a picture that is sent is in the way of the next one: beside every schedule there is."""
    at, trace = 0.0, []
    for pause, rate in steps:
        trace.append((at, rate))
        at += pause
    link, figures = CapacityTrace(trace), np.array(pictures)
    taken = [k * period for k in range(len(pictures))]
    found = Clairvoyant(link, figures[:, :3], figures[:, 3:], taken, budget, 0.01)

    def worth(schedule: tuple[int, ...]) -> float:
        free, value = 0.0, 0.0
        for k, point in enumerate(schedule):
            if point:
                free = link.carried(max(free, taken[k]), figures[k, point - 1])
                value += figures[k, 2 + point] if free + 0.01 <= taken[k] + budget else 0.0
        return value / len(schedule)

    assert found.bound == pytest.approx(max(worth(schedule) for schedule in product(range(4), repeat=len(pictures))))
    assert worth(tuple(found.schedule)) == pytest.approx(found.bound)


def test_the_bound_knows_what_each_picture_takes_and_gives(artifact: Artifact) -> None:
    crops = [fit_picture(crop, 64) for crop in sample_crops(64, 6)]
    of = known(artifact, crops, LABELS)
    assert of.bits.shape == of.metric.shape == of.right.shape == (6, len(artifact.manifest.points))
    assert (of.bits > 0).all() and set(np.unique(of.right)) <= {0.0, 1.0}
    fast = bound_row(of, traces.trace("constant", 1e9, 1.0), 0.1, 0.01, 12, [0.0, 0.05])
    assert fast["accuracy"] == pytest.approx(100 * of.metric.max(), abs=0.01) and fast["met"] == 100
    assert fast["right"] == pytest.approx(100 * of.right.max(1).mean(), abs=0.01)
    slow = bound_row(of, traces.trace("constant", 1.0, 1.0), 0.1, 0.01, 12, [0.0])
    assert slow["accuracy"] == slow["met"] == 0


def answered(label: int, *answers: tuple[int, float]) -> Result:
    value = Classification((ClassProbability(label, "", 1.0),))
    given = [Answer(point, value, False, after) for point, after in answers]
    return Result(answers[-1][0], 0.1, 1e4, 0.01, payload_bytes=100, answers=given)


def test_a_late_answer_is_a_wrong_one(artifact: Artifact) -> None:
    manifest = artifact.manifest
    ticks = [
        Tick(0.0, 3, answered(3, (1, 0.05), (2, 0.09), (3, 0.2))),  # two in time, a third one late
        Tick(1.0, 3, answered(3, (8, 0.3))),  # late
        Tick(2.0, 3),  # not sent
        Tick(3.0, 3, answered(4, (4, 0.1))),  # in time, and wrong
    ]
    found = summary(ticks, manifest, traces.trace("constant", 1e9, 1.0), 0.1, 0.01)
    assert found["accuracy"] == pytest.approx(100 * (manifest.point(2).metric + manifest.point(4).metric) / 4, abs=0.01)
    assert found["right"] == 25
    assert found["met"] == found["met_where_possible"] == 50
    assert found["switches"] == 2
    slow = summary(ticks, manifest, traces.trace("constant", 1e9, 1.0), 0.01, 0.02)
    assert slow["possible"] == 0 and slow["met"] == 0


def row(method: str, accuracy: float, met: float = 100.0, trace: str = "step") -> dict[str, Any]:
    return {
        "trace": trace, "deadline_ms": 100, "method": method, "accuracy": accuracy, "met_where_possible": met,
    }  # fmt: skip


def test_what_ours_does_not_do_is_said() -> None:
    def missed(rows: list[dict[str, Any]]) -> int:
        return sum(not bar.holds for bar in bars(rows))

    good = [row("clairvoyant", 80), row("one-shot", 79.5), row("progressive", 79.4), row("level 1", 70)]
    assert missed(good) == 0
    assert missed([*good[:2], row("progressive", 75.9), good[3]]) == 1  # behind the bound
    assert missed([*good[:2], row("progressive", 79.4, met=98.9), good[3]]) == 1
    assert missed([*good[:3], row("level 1", 79.45)]) == 1  # better than progressive
    assert missed([{**r, "trace": "constant"} for r in [*good[:3], row("level 1", 79.45)]]) == 0
    assert missed([row("clairvoyant", 79.0), *good[1:]]) == 1  # then it is no bound


def test_every_method_is_one_of_the_policies(artifact: Artifact) -> None:
    assert all(method_of(name, artifact.manifest) for name in METHODS)


def test_in_simulated_time_the_edge_is_near_the_best_schedule() -> None:
    rows = rules(MODEL, (0.1,))
    assert [row["trace"] for row in rows] == list(traces.ALL)
    for found in rows:
        assert 0 <= found["clairvoyant"]["accuracy"] - found["expected accuracy"]["accuracy"] < 1.5, found
        assert found["expected accuracy"]["met"] >= found["clairvoyant"]["met"] - 1.5, found
    behind = [found["clairvoyant"]["accuracy"] - found["two averages"]["accuracy"] for found in rows]
    assert max(behind) > 1.0  # or the simpler rule would do


@pytest.mark.slow
def test_every_method_follows_a_trace_over_the_relay() -> None:
    rows = deadlines(MODEL, sample_crops(64, 6), LABELS, ["step"], [0.25], 8)
    assert [row["method"] for row in rows] == list(ALL)
    assert all(row["pictures"] == 8 and row["bytes"] > 40 for row in rows)
    ours = ("clairvoyant", "level 1", "one-shot", "progressive")
    assert all(row["accuracy"] > 0 for row in rows if row["method"] in ours)


@pytest.mark.root
@pytest.mark.slow
def test_every_method_follows_a_trace_between_namespaces() -> None:
    rows = kernel(MODEL, sample_crops(64, 6), LABELS, ["step"], 0.25, 8)
    assert [row["method"] for row in rows] == list(METHODS)
    assert all(row["pictures"] == 8 and row["bytes"] > 40 for row in rows)
    assert all(row["accuracy"] > 0 for row in rows if row["method"] in ("level 1", "one-shot", "progressive"))


def test_what_the_link_could_have_carried_in_time_is_unused() -> None:
    link, half = CapacityTrace([(0, 80_000)]), 500 - AROUND_BYTES  # of 1,000 bytes in 0.1 s

    def tick(after: float, payload: int = half) -> Tick:
        value = Classification((ClassProbability(0, "", 1.0),))
        return Tick(0.0, 0, Result(1, 0.1, 1e4, 0.01, answers=[Answer(1, value, True, after, payload_bytes=payload)]))

    assert unused_share([tick(0.05)], link, 0.11, 0.01) == pytest.approx(50, abs=0.1)
    assert unused_share([tick(0.05), tick(0.2), Tick(0.0)], link, 0.11, 0.01) == pytest.approx(83.33, abs=0.1)
    assert unused_share([tick(0.05, 5000)], link, 0.11, 0.01) == 0


@pytest.mark.slow
def test_every_family_follows_a_trace_at_the_same_time() -> None:
    sent = [Sent("nested, one-shot", MODEL.with_name("imagewoof64-compact-nested"), "one-shot")]
    sent.append(Sent("mixed, one-shot", MODEL.with_name("imagewoof64-compact-mixed"), "one-shot"))  # without level 1
    sent.append(Sent("progressive, plane by plane", MODEL, "progressive"))
    rows = compare(sent, sample_crops(64, 6), LABELS, ["step"], [0.25], 8)
    assert [row["method"] for row in rows] == [one.name for one in sent]
    assert all(row["pictures"] == 8 and row["accuracy"] > 0 and 0 <= row["unused"] < 100 for row in rows)
    assert [row["points"] for row in by_family(rows)] == [8, 61, 69]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of matplotlib's dependencies
def test_the_plot_shows_every_method_on_every_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import benchmarks.link.figures as figures

    result = read_results("link", "deadlines")
    assert result is not None
    rows = result["figures"]["rows"]
    said = {figures.LABELS.get(row["method"], row["method"]) for row in rows} | {row["trace"] for row in rows}
    committed = (figures.FIGURES / "deadlines.svg").read_text()
    monkeypatch.setattr(figures, "FIGURES", tmp_path)
    for drawn in (committed, figures.draw(rows).read_text()):
        assert all(f"<!-- {words} -->" in drawn for words in said)


def test_an_interrupted_link_carries_nothing_for_its_outages() -> None:
    link = CapacityTrace([(0.0, 1e5), *interrupted(1e5, 20.0)])
    assert [link.capacity(at) for at in (0.0, 3.4, 3.6, 6.4, 6.6, 13.4, 13.6, 16.6, 1e4)] == [
        1e5, 1e5, 1.0, 1.0, 1e5, 1e5, 1.0, 1e5, 1e5
    ]  # fmt: skip


@pytest.mark.slow
def test_extreme_links_answer_every_picture(artifact: Artifact) -> None:
    split = Split(artifact.manifest.task.classes, sample_crops(64, 3), np.zeros(3, np.int64))
    links = [Link("quick", [(0.0, 1e6)]), Link("slow and far", [(0.0, 1e4)], 0.3)]
    rows = extremes(MODEL, split, links, 3)
    assert [(row["link"], row["method"]) for row in rows] == [
        (link, method)
        for link in ("quick", "slow and far")
        for method in ("one-shot", "progressive", "WebP, quality 50", "WebP, adapted")
    ]
    assert all(row["pictures"] == 3 and row["lost"] == 0 for row in rows)
    of = {(row["link"], row["method"]): row for row in rows if row["served"]}
    assert all(of["slow and far", method]["first_ms"] > 600 for method in ("one-shot", "progressive"))
    assert of["quick", "one-shot"]["first_ms"] < 500
    assert of["slow and far", "one-shot"]["bytes"] < of["quick", "one-shot"]["bytes"]


def test_a_picture_without_an_answer_is_lost_and_wrong() -> None:
    found = figures([(None, 0.0), (None, 0.0)])
    assert found["lost"] == 2 and found["served"] == 0 and found["right"] == 0 and found["in_time"] == 0
