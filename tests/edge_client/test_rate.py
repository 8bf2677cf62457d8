import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_client.rate import CapacityEstimator, Overheads, choose_level

rates = st.floats(1e2, 1e9)
budgets = st.floats(1e-3, 10)
BITS = {level: 512.0 * level for level in range(1, 9)}


def chosen(capacity: float | None, budget: float, previous: int | None = None, spent: float = 0.0) -> int:
    overheads = Overheads(encode=spent / 2, decode=spent / 2)
    return choose_level(capacity, budget, overheads, level_bits=BITS, message_bits=240, previous=previous)


@given(rates, budgets)
def test_the_chosen_bits_arrive_in_time(capacity: float, budget: float) -> None:
    level = chosen(capacity, budget)
    assert 0 <= level <= 8
    assert level == 0 or (512 * level + 240) / capacity <= budget


@given(rates, budgets, st.floats(1, 10))
def test_more_capacity_or_time_never_lowers_the_level(capacity: float, budget: float, more: float) -> None:
    assert chosen(capacity, budget) <= chosen(capacity * more, budget)
    assert chosen(capacity, budget) <= chosen(capacity, budget * more)
    assert chosen(capacity, budget, spent=budget / 2) <= chosen(capacity, budget)


@given(rates, budgets, st.integers(0, 8))
def test_it_drops_at_once_and_rises_cautiously(capacity: float, budget: float, previous: int) -> None:
    free, level = chosen(capacity, budget), chosen(capacity, budget, previous)
    assert level == free if free <= previous else previous <= level <= free
    if level > previous:
        assert (512 * level + 240) / (0.7 * capacity) <= budget * (1 + 1e-9)


def test_unknown_capacity_begins_with_the_lowest_level() -> None:
    assert chosen(None, 1.0) == 1


def test_only_levels_that_the_model_has_are_chosen() -> None:
    def of(capacity: float | None) -> int:
        return choose_level(capacity, 1.0, Overheads(), level_bits={2: 1000, 5: 2000}, message_bits=0)

    assert [of(c) for c in (None, 900, 1100, 2000, 2200, 1e9)] == [2, 0, 2, 2, 5, 5]


def test_a_budget_that_is_spent_already_leaves_nothing() -> None:
    assert chosen(1e9, 0.05, spent=0.06) == 0


def feed(estimator: CapacityEstimator, rate: float, seconds: float) -> None:
    for _ in range(int(seconds * 10)):
        estimator.add(rate * 0.05, 0.05, 0.1, app_limited=False)


def test_the_estimate_drops_at_once_and_rises_slowly() -> None:
    estimator = CapacityEstimator()
    assert estimator.capacity is None
    feed(estimator, 100_000, 30)
    assert estimator.capacity == pytest.approx(100_000, rel=1e-3)
    feed(estimator, 10_000, 0.1)
    assert estimator.capacity == pytest.approx(10_000)
    feed(estimator, 10_000, 60)
    feed(estimator, 100_000, 1)
    assert estimator.capacity is not None and estimator.capacity < 50_000
    feed(estimator, 100_000, 60)
    assert estimator.capacity == pytest.approx(100_000, rel=0.05)


def test_an_app_limited_sample_never_lowers_the_estimate() -> None:
    estimator = CapacityEstimator()
    feed(estimator, 50_000, 5)
    before = estimator.capacity
    estimator.add(100, 1.0, 1.0, app_limited=True)
    assert estimator.capacity == before
    estimator.add(500_000, 1.0, 1.0, app_limited=True)
    assert estimator.capacity is not None and before is not None and estimator.capacity > before


def test_nothing_is_learnt_from_no_time() -> None:
    estimator = CapacityEstimator()
    estimator.add(1000, 0.0, 1.0, app_limited=False)
    assert estimator.capacity is None
