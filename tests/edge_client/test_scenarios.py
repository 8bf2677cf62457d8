"""What the edge makes of links that change, in virtual time: the scenarios of RFC 8867 and 8869 that apply to pictures.

An in-time answer counts what its point is worth, a late one nothing. At 40 kbit/s and 200 ms a picture of 64 planes
just fits; at 10 kbit/s some 17 do.
"""

from __future__ import annotations

import gc
import time

import pytest

from edge_client import OneShot, Progressive
from edge_client.modes import Mode
from edge_client.rate import FixedPoint
from tests.edge_client.models import FakeEncoder, nested_like, shipped_like
from tests.edge_client.plans import Check, Conditions, Pictures, Run, run

MODES = [OneShot(), Progressive()]
either = pytest.mark.parametrize("mode", MODES, ids=["one-shot", "progressive"])


@either
def test_the_capacity_steps_down_and_up(mode: Mode) -> None:
    """RFC 8867, 5.1: variable available capacity."""
    run([
        Conditions(40_000),
        Pictures(every=0.5, budget=0.2, mode=mode),
        Run(60),
        Check("nearly all is had where nearly all fits", lambda seen: seen.met == 1 and seen.worth > 0.82),
        Conditions(10_000),
        Run(5),
        Check("two pictures at most are late", lambda seen: sum(not r.deadline_met for r in seen.results) <= 2),
        Run(55),
        Check("then none is", lambda seen: seen.met > 0.98 and 9_000 < seen.capacity < 12_000),
        Conditions(100_000),
        Run(5),
        Check("the way up costs no deadline", lambda seen: seen.met == 1 and seen.points[-1] > 50),
        Run(60),
        Check("all is had", lambda seen: seen.met == 1 and seen.worth > 0.833),
    ])  # fmt: skip


@either
def test_the_capacity_goes_down_in_steps_and_up_in_one(mode: Mode) -> None:
    """RFC 8867, 5.1, with the steps of 5.2's second flow: each step is met by less, and nothing piles up."""
    run([
        Conditions(80_000),
        Pictures(every=0.5, budget=0.2, mode=mode),
        Run(30),
        *(
            step
            for capacity in (40_000, 20_000, 12_000)
            for step in (
                Conditions(capacity),
                Run(30),
                Check(f"{capacity} bit/s", lambda seen, c=capacity: seen.met > 0.95 and 0.8 < seen.capacity / c < 1.3),
            )
        ),
        Conditions(80_000),
        Run(10),
        Check("up again", lambda seen: seen.met == 1 and seen.points[-1] > 40),
    ])  # fmt: skip


@either
@pytest.mark.parametrize("seed", range(3))
def test_packets_are_lost(mode: Mode, seed: int) -> None:
    """RFC 8869, 4.2: a lossy last hop. What is sent again is late, and nothing else is."""
    run([
        Conditions(40_000, loss=0.02),
        Pictures(every=0.5, budget=0.2, mode=mode),
        Run(120),
        Check("few are late", lambda seen: seen.met > 0.97 and seen.worth > 0.8),
    ], seed=seed)  # fmt: skip


@either
@pytest.mark.parametrize("seed", range(3))
def test_the_delay_jitters(mode: Mode, seed: int) -> None:
    """RFC 8867, 5.5: jitter of up to 30 ms is no congestion."""
    run([
        Conditions(40_000, jitter=0.03),
        Pictures(every=0.5, budget=0.2, mode=mode),
        Run(120),
        Check("it costs next to nothing", lambda seen: seen.met > 0.98 and seen.worth > 0.82),
    ], seed=seed)  # fmt: skip


@either
def test_somebody_else_takes_half_of_the_link_for_a_while(mode: Mode) -> None:
    """RFC 8867, 5.7 and 5.8: competing traffic, in bursts, that has no regard for ours."""
    run([
        Conditions(40_000),
        Pictures(every=0.5, budget=0.2, mode=mode),
        Run(30),
        Check("alone", lambda seen: seen.met == 1),
        Conditions(40_000, competing=20_000),
        Run(120),
        Check("what is left is used", lambda seen: seen.met > 0.9 and seen.worth > 0.7),
        Conditions(40_000),
        Run(60),
        Check("it is had back", lambda seen: seen.met > 0.99 and seen.worth > 0.81),
    ])  # fmt: skip


@either
def test_the_route_becomes_longer_and_short_again(mode: Mode) -> None:
    """RFC 8867, 5.1, as a step of the delay: time on the way is not taken for time on the link."""
    run([
        Conditions(40_000, delay=0.01),
        Pictures(every=0.5, budget=0.2, mode=mode),
        Run(60),
        Conditions(40_000, delay=0.06),
        Run(90),
        Check(
            "less is sent, in time",
            lambda seen: seen.met > 0.98 and 0.8 < seen.worth < 0.833 and 30_000 < seen.capacity < 50_000,
        ),
        Conditions(40_000, delay=0.01),
        Run(120),
        Check("all is had again", lambda seen: seen.met == 1 and seen.points[-1] >= 40),
    ])  # fmt: skip


@either
def test_nothing_comes_back_for_two_minutes(mode: Mode) -> None:
    """RFC 8867, 5.4 in its worst form: feedback that stops. No picture is lost for good, and nothing piles up."""
    seen = run([
        Conditions(40_000),
        Pictures(every=1.0, budget=0.2, mode=mode),
        Run(60),
        Check("before", lambda seen: seen.met == 1),
        Conditions(40_000, feedback_stops=120),
        Run(120),
        Check("the edge takes it for a link that stands still", lambda seen: seen.met == 0 and seen.capacity < 1_000),
        Run(60),
        Check("a minute later all is as before", lambda seen: seen.met > 0.95 and seen.points[-1] >= 40),
    ])  # fmt: skip
    assert sum(taken.failed for taken in seen.pictures) <= 4  # each was waited for, for half a minute and once more


def test_a_model_that_is_not_refinable_does_as_well_one_shot() -> None:
    run([
        Conditions(20_000),
        Pictures(every=0.5, budget=0.2),
        Run(60),
        Check("level 4 of 8 fits", lambda seen: seen.met == 1 and seen.points[-1] in (3, 4, 5)),
    ], encoder=FakeEncoder(nested_like()))  # fmt: skip


@pytest.mark.slow
def test_adapting_is_worth_more_than_any_fixed_point_where_the_link_changes() -> None:
    plan = [
        Pictures(every=0.5, budget=0.2),
        *(
            step
            for capacity in (80_000, 12_000, 40_000, 10_000, 60_000)
            for step in (Conditions(capacity), Run(60))
        ),
    ]  # fmt: skip
    adaptive = run(plan)
    for point in (4, 16, 32, 64):
        fixed = run(plan, policy=FixedPoint(point))
        assert adaptive.worth > fixed.worth, (point, adaptive.worth, fixed.worth)


def test_no_more_messages_go_than_with_eight_whole_levels() -> None:
    def messages(planes: int) -> int:
        plan = [Conditions(60_000), Pictures(every=1.0, budget=0.3, mode=Progressive()), Run(120)]
        return run(plan, encoder=FakeEncoder(shipped_like(planes))).messages

    assert messages(64) <= messages(8)


@pytest.mark.parametrize(("every", "limit_s"), [(1.0, 3.0), pytest.param(0.1, 30.0, marks=pytest.mark.slow)])
def test_an_hour_of_a_link_takes_seconds(every: float, limit_s: float) -> None:
    """In this process's own time, at best of two: whoever shares the machine's cores slows that, too."""
    gc.collect()
    gc.freeze()  # else what other tests have left is gone through again and again
    for _ in range(2):
        began = time.process_time()
        seen = run([Conditions(40_000), Pictures(every=every, budget=0.1), Run(3600)])
        taken = time.process_time() - began
        print(f"{len(seen.pictures)} pictures in {taken:.2f} s")
        assert len(seen.pictures) == round(3600 / every) and seen.met > 0.9
        if taken <= limit_s:
            return
    pytest.fail(f"An hour took {taken:.2f} s twice, more than {limit_s:g}.")
