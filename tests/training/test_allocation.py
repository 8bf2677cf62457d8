import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.allocation import allocations, best_sizes, costs_between
from wire.manifest import block_bytes

COSTS = st.integers(1, 4).flatmap(
    lambda top: st.lists(st.lists(st.floats(0, 10), min_size=top + 1, max_size=top + 1), min_size=1, max_size=4)
)


def cost(distortion: list[list[float]], levels: tuple[int, ...]) -> float:
    return sum(costs[level] for costs, level in zip(distortion, levels, strict=True))


@given(COSTS, st.integers(0, 4))
@settings(deadline=None)
def test_every_budget_has_the_allocation_of_least_cost(distortion: list[list[float]], least: int) -> None:
    segments, top = len(distortion), len(distortion[0]) - 1
    found = allocations(distortion, least)
    assert [sum(levels) for levels in found] == list(range(least, segments * top + 1))
    for levels in found:
        others = (o for o in product(range(top + 1), repeat=segments) if sum(o) == sum(levels))
        assert cost(distortion, levels) <= min(cost(distortion, o) for o in others) + 1e-9


def test_what_matters_more_gets_more() -> None:
    quartering = [[weight * 0.25**level for level in range(9)] for weight in (100.0, 10.0, 1.0, 0.1)]
    found = {sum(levels): levels for levels in allocations(quartering, 1)}
    assert found[1] == (1, 0, 0, 0)
    assert found[4] == (3, 1, 0, 0)
    assert found[10] == (5, 3, 2, 0)
    assert found[32] == (8, 8, 8, 8)
    alike = {sum(levels): levels for levels in allocations([quartering[0]] * 4, 4)}
    assert sorted(alike[9]) == [2, 2, 2, 3]


SEGMENTS = st.lists(
    st.tuples(st.lists(st.floats(0, 10), min_size=6, max_size=6), st.sampled_from((8, 64, 100))),
    min_size=1,
    max_size=3,
)


@given(SEGMENTS, st.integers(1, 60))
@settings(deadline=None)
def test_every_budget_of_bytes_is_kept_and_used_as_well_as_it_can_be(
    drawn: list[tuple[list[float], int]], budget: int
) -> None:
    costs, sub_vectors = np.array([row for row, _ in drawn]), [m for _, m in drawn]
    (sizes,) = best_sizes(costs, sub_vectors, [budget])

    def bits(sizes: tuple[int, ...]) -> float:
        return sum(m * math.log2(size) for m, size in zip(sub_vectors, sizes, strict=True))

    def total(sizes: tuple[int, ...]) -> float:
        return sum(costs[s, size - 1] for s, size in enumerate(sizes))

    assert bits(sizes) <= 8 * budget + 1e-6
    rounding = len(drawn) / 8  # what is counted in parts of a byte may be counted as one part too much
    every = product(range(1, 7), repeat=len(drawn))
    assert total(sizes) <= min(total(o) for o in every if bits(o) <= 8 * budget - rounding) + 1e-9


def test_more_bytes_never_cost_more_and_most_budgets_are_used_to_the_last_byte() -> None:
    grid = sorted({round(2 ** (n / 4)) for n in range(41)})
    costs = costs_between(grid, np.array([[weight / size for size in grid] for weight in (30.0, 9.0, 3.0, 1.0)]))
    found = dict(zip(range(8, 321), best_sizes(costs, [64] * 4, range(8, 321)), strict=True))
    totals = [sum(costs[s, size - 1] for s, size in enumerate(sizes)) for sizes in found.values()]
    assert totals == sorted(totals, reverse=True)
    used = {budget: block_bytes([64] * 4, sizes) for budget, sizes in found.items()}
    assert all(bytes_ <= budget for budget, bytes_ in used.items())
    assert sum(bytes_ == budget for budget, bytes_ in used.items()) > 0.9 * len(used)
    assert found[8] == (2, 1, 1, 1) and found[320] == (1024,) * 4


def test_only_budgets_that_no_sizes_take_share_a_point() -> None:
    """Of 64 sub-vectors a segment: sizes take 8 log2 of their product in bytes, and few products are below 10."""
    costs = costs_between([1, 16], np.array([[1.0, 0.0]]))
    used = [block_bytes([64], sizes) for sizes in best_sizes(costs, [64], range(8, 33))]
    assert [b for b, taken in enumerate(used, 8) if taken < b] == [9, 10, 11, 12, 14, 15, 17, 18, 20, 22, 25]


def test_costs_between_measured_sizes_lie_on_a_line_in_the_logarithm() -> None:
    every = costs_between([1, 4, 16], np.array([[8.0, 4.0, 0.0]]))
    assert every.shape == (1, 16)
    assert every[0, [0, 1, 3, 7, 15]] == pytest.approx([8, 6, 4, 2, 0])
