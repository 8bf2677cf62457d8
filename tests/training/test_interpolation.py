"""Which points of a model of any size are measured, and what the others are said to give."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.interpolation import between, heavy_to_be_measured, to_be_measured


def points(*costs: int, sizes: tuple[int, ...] = (3, 5)) -> list[dict[str, Any]]:
    return [{"sizes": list(sizes), "payload_bytes": cost, "metric": 0.0} for cost in costs]


def figures(point: dict[str, Any], metric: float, **more: Any) -> dict[str, Any]:
    return {"sizes": point["sizes"], "payload_bytes": point["payload_bytes"], "coded_bytes": None, "metric": metric,
            "temperature": 1.0, **more}  # fmt: skip


@given(st.sets(st.integers(1, 2000), min_size=1), st.integers(1, 200))
@settings(deadline=None)
def test_as_many_points_are_measured_as_were_asked_for_the_ends_among_them(costs: set[int], count: int) -> None:
    found = to_be_measured(points(*sorted(costs)), count)
    kept = [n for n, point in enumerate(found) if not point.get("interpolated")]
    assert {0, len(found) - 1} <= set(kept)
    assert min(count, len(costs)) <= len(kept)
    assert [point["payload_bytes"] for point in found] == sorted(costs)


def test_cheap_points_are_measured_more_closely_and_levels_always_are() -> None:
    many = points(*range(8, 641))
    many[500]["sizes"], many[501]["sizes"] = [256, 256], [256, 255]
    found = to_be_measured(many, 64)
    kept = [n for n, point in enumerate(found) if not point.get("interpolated")]
    assert 500 in kept and 501 not in kept
    assert 64 <= len(kept) <= 70
    assert kept[:8] == list(range(8)) and kept[-1] - kept[-2] > 10


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
@settings(deadline=None)
def test_what_is_not_measured_lies_between_its_neighbours(metrics: list[float]) -> None:
    every = points(*range(10, 10 * len(metrics) * 3 + 1, 10))
    numbers = [1 + n * (len(every) - 1) // (len(metrics) - 1) for n in range(len(metrics))]
    measured = {n: figures(every[n - 1], metric) for n, metric in zip(numbers, metrics, strict=True)}
    found = between(every, measured)
    assert [point["payload_bytes"] for point in found] == [point["payload_bytes"] for point in every]
    for low, high in pairwise(numbers):
        ends = sorted((measured[low]["metric"], measured[high]["metric"]))
        inside = found[low : high - 1]
        assert all(point["interpolated"] and ends[0] - 1e-6 <= point["metric"] <= ends[1] + 1e-6 for point in inside)
        rising = [point["metric"] for point in inside]
        assert rising == sorted(rising, reverse=measured[high]["metric"] < measured[low]["metric"])
    assert all(found[n - 1] == measured[n] for n in numbers)


def test_the_cheaper_neighbours_temperature_and_coding_are_taken_and_levels_are_no_neighbours() -> None:
    first, level, middle, last = points(100, 150, 160, 200)
    level["sizes"] = [4, 4]
    measured = {
        1: figures(first, 0.5, temperature=1.5, coded_bytes=90.0),
        2: figures(level, 0.1, temperature=3.0, coded_bytes=10.0),
        4: figures(last, 0.7, coded_bytes=190.0),
    }
    found = between([first, level, middle, last], measured)[2]
    assert found["metric"] == pytest.approx(0.62)
    assert found["temperature"] == 1.5 and found["coded_bytes"] == pytest.approx(144)


def test_a_heavy_chain_has_its_first_levels_measured_and_then_whole_ones() -> None:
    sizes = [(2, 1), (2, 2), (4, 2), (4, 4), (8, 4), (8, 8), (8, 16), (16, 16)]
    chain = [{**point, "sizes": list(of)} for of, point in zip(sizes, points(*range(10, 90, 10)), strict=True)]
    marked = heavy_to_be_measured(chain)
    assert [n for n, point in enumerate(marked, 1) if point.get("interpolated")] == [5, 7]
    measured = {n: figures(point, n / 10) for n, point in enumerate(chain, 1) if n not in (5, 7)}
    found = between(marked, measured, chain=True)
    assert [point["metric"] for point in found] == pytest.approx([n / 10 for n in range(1, 9)])
