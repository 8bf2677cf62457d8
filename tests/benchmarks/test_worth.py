"""When two halves of a network are worth it: the crossings."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from benchmarks.edge.worth import (
    ALONE,
    SPLIT,
    Costs,
    Setting,
    crossing_rate,
    crossing_size,
    crossing_slowdown,
    soonest,
    ways,
)

amounts = st.floats(0.01, 1e4)
COSTS = st.builds(Costs, *[amounts] * 6)
SETTINGS = st.builds(Setting, st.floats(0.1, 1e3), st.floats(0.1, 1e3), st.floats(0, 1e3))
NEAR = 1e-3


@given(COSTS, SETTINGS)
def test_at_a_crossing_two_answer_at_once_and_beside_it_the_fewer_bytes_or_milliseconds_win(
    costs: Costs, setting: Setting
) -> None:
    found = ways(costs, setting)
    for one, other in ((a, b) for a in found for b in found if a.payload_bytes < b.payload_bytes):
        rate = crossing_rate(one, other)
        assert rate == crossing_rate(other, one)
        if rate is None:
            assert one.ms <= other.ms
            continue
        assert one.answers_after(rate) == pytest.approx(other.answers_after(rate))
        assert one.answers_after(rate / 2) < other.answers_after(rate / 2)
        assert one.answers_after(rate * 2) > other.answers_after(rate * 2)


@given(COSTS, SETTINGS, st.floats(1e-3, 1e9))
def test_no_other_answers_before_the_soonest_over_any_link(costs: Costs, setting: Setting, kbit: float) -> None:
    found = ways(costs, setting)
    turns = soonest(found)
    rates = [rate for rate, _ in turns]
    assert rates[0] == 0 and all(a <= b for a, b in pairwise(rates))
    _, winner = [turn for turn in turns if turn[0] <= kbit][-1]
    assert winner.answers_after(kbit) <= min(way.answers_after(kbit) for way in found) * (1 + 1e-9)


@given(COSTS, SETTINGS, amounts)
def test_a_slower_edge_is_better_off_with_two_halves_than_alone(costs: Costs, setting: Setting, kbit: float) -> None:
    slowdown = crossing_slowdown(costs, setting, kbit)
    if slowdown is None:
        assert costs.whole_ms <= costs.edge_ms
        return
    assume(costs.whole_ms - costs.edge_ms > NEAR * costs.whole_ms)  # else rounding is all that is left
    alone, split, _ = (way.answers_after(kbit) for way in ways(costs, replace(setting, slowdown=slowdown)))
    assert alone == pytest.approx(split)
    alone, split, _ = (way.answers_after(kbit) for way in ways(costs, replace(setting, slowdown=2 * slowdown)))
    assert alone > split


@given(COSTS, SETTINGS, amounts)
def test_a_larger_network_is_worth_two_halves(costs: Costs, setting: Setting, kbit: float) -> None:
    times = crossing_size(costs, setting, kbit)

    def answers(size: float) -> tuple[float, float]:
        ms = {name: size * getattr(costs, name) for name in ("edge_ms", "server_ms", "whole_ms")}
        alone, split, _ = ways(replace(costs, **ms), setting)
        return alone.answers_after(kbit), split.answers_after(kbit)

    if times is None:
        alone, split = answers(1e6)
        assert alone <= split * (1 + 1e-9)
        return
    saved = setting.slowdown * (costs.whole_ms - costs.edge_ms) - costs.server_ms / setting.speedup
    assume(saved > NEAR * setting.slowdown * costs.whole_ms)
    alone, split = answers(times)
    assert alone == pytest.approx(split)
    alone, split = answers(2 * times)
    assert alone > split


def test_a_network_that_an_edge_runs_in_a_millisecond_is_no_case_for_two_halves() -> None:
    small = Costs(edge_ms=0.4, server_ms=0.7, whole_ms=1, file_ms=0.5, payload_bytes=150, file_bytes=1500)
    ((_, best),) = soonest(ways(small, Setting(slowdown=1, speedup=1000, round_trip_ms=10)))
    assert best.name == ALONE
    names = [way.name for _, way in soonest(ways(small, Setting(slowdown=100, speedup=1000, round_trip_ms=10)))]
    assert names == [ALONE, SPLIT]
