"""What is known of a link, and how probably so many bits are in time."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_client.rate import LinkEstimator, Sample
from edge_client.rate.estimator import ALIKE, LATELY_S, OTHERWISE, PRIOR, RISE_S

budgets = st.floats(1e-3, 10)
pictures = st.lists(st.tuples(st.floats(0, 0.2), st.floats(1e3, 1e6)), max_size=150)


def steady(capacity: float, overhead_s: float = 0.0, pictures: int = 50) -> LinkEstimator:
    """Of a link that always was like this."""
    estimator = LinkEstimator()
    for i in range(pictures):
        estimator.learn(Sample(capacity * 0.05, 0.05), overhead_s, estimator.capacity, 0.1 * i)
    return estimator


def probability(estimator: LinkEstimator, budget: float, overhead_s: float, bits: float) -> float:
    """As `DeliveryDistribution`, in words: how many of the outcomes, by their weights, would have been in time."""
    known = estimator.capacity
    if known is None:
        return 0.0
    spent = estimator.overhead_s(overhead_s)
    seen = sorted(
        (
            known * ratio * (budget - overhead_s),
            1.0 if expected and 1 / ALIKE < expected / known < ALIKE else OTHERWISE,
        )
        for overhead_s, ratio, expected in estimator.outcomes
    )
    weights = list(accumulate((weight for _, weight in reversed(seen)), initial=0.0))[::-1]
    prior = sorted(known * ratio * (budget - spent) for ratio in PRIOR)
    fit = len(prior) - bisect_left(prior, bits)
    return float((weights[bisect_left([bits for bits, _ in seen], bits)] + fit / len(prior)) / (weights[0] + 1))


@given(pictures, budgets, st.floats(0, 0.1), st.lists(st.floats(1, 1e6), min_size=1, max_size=20))
def test_the_probability_is_the_share_of_outcomes_in_time(
    pictures: list[tuple[float, float]], budget: float, overhead_s: float, bits: list[float]
) -> None:
    estimator = LinkEstimator()
    for i, (spent, rate) in enumerate(pictures):
        estimator.learn(Sample(rate * 0.05, 0.05), spent, estimator.capacity, 0.1 * i)
    found = estimator.delivery(budget, overhead_s).probability(sorted(bits))
    assert found == pytest.approx([probability(estimator, budget, overhead_s, one) for one in sorted(bits)])
    assert all(0 <= one <= 1 for one in found) and list(found) == sorted(found, reverse=True)


def test_a_link_that_drops_when_it_is_fast_is_trusted_when_it_is_slow() -> None:
    estimator = LinkEstimator()
    for i in range(100):
        capacity = 20_000 if i % 20 >= 10 else 100_000  # ten pictures fast, ten slow
        estimator.learn(Sample(capacity * 0.05, 0.05), 0.0, estimator.capacity, 10.0 * i)
    estimator.capacity = 20_000
    slow = estimator.delivery(1.0, 0.0).probability(19_000)
    estimator.capacity = 100_000
    assert slow > 0.95 > 0.92 > estimator.delivery(1.0, 0.0).probability(95_000)


def test_the_estimate_comes_down_at_once_and_rises_within_its_half_life() -> None:
    estimator = steady(100_000)
    assert estimator.capacity == pytest.approx(100_000)
    estimator.learn(Sample(500, 0.05), 0.0, estimator.capacity, 10.0)
    assert estimator.capacity == pytest.approx(10_000)
    estimator.learn(Sample(5000, 0.05), 0.0, estimator.capacity, 10.0 + RISE_S)
    assert estimator.capacity == pytest.approx(55_000)


def test_an_app_limited_sample_never_lowers_the_estimate() -> None:
    estimator = steady(500_000)
    estimator.learn(Sample(100, 0.001), 0.0, estimator.capacity, 10.0)
    assert estimator.capacity == pytest.approx(500_000)
    estimator.learn(Sample(2000, 0.001), 0.0, estimator.capacity, 20.0)
    assert estimator.capacity == pytest.approx(1_000_000, rel=0.01)
    estimator.learn(Sample(20_000, 0.0), 0.0, estimator.capacity, 30.0)
    assert estimator.capacity == pytest.approx(2_000_000, rel=0.01)  # and raises it twofold at most


def test_what_has_arrived_of_a_picture_lowers_the_estimate_but_never_raises_it() -> None:
    estimator = steady(100_000)
    estimator.at_most(Sample(5000, 0.001))
    estimator.at_most(Sample(50_000, 0.1))
    assert estimator.capacity == pytest.approx(100_000)
    estimator.at_most(Sample(5000, 0.1))
    assert estimator.capacity == pytest.approx(50_000)


def test_nothing_is_in_time_where_nothing_is_known() -> None:
    assert np.array_equal(LinkEstimator().delivery(1.0, 0.0).probability([1.0, 2.0]), [0.0, 0.0])


def test_people_are_told_what_filled_the_link_and_no_at_least() -> None:
    estimator = LinkEstimator()
    estimator.measured(Sample(1000, 0.0005), 0.0)  # a token bucket lets a small picture pass at once
    assert estimator.capacity and estimator.seen(0.0) is None
    estimator.measured(Sample(6400, 0.1), 1.0)
    for second in range(2, 9):
        estimator.measured(Sample(1000, 0.0005), second)
        assert estimator.seen(second) == 64_000
    assert estimator.capacity > 200_000 and estimator.seen(1.0 + LATELY_S + 0.1) is None
