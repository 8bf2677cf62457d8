from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.allocation import allocate, allocations
from wire.exceptions import LevelError

M = 512
COSTS = st.integers(1, 4).flatmap(
    lambda top: st.lists(st.lists(st.floats(0, 10), min_size=top + 1, max_size=top + 1), min_size=1, max_size=4)
)


def cost(distortion: list[list[float]], levels: tuple[int, ...]) -> float:
    return sum(costs[level] for costs, level in zip(distortion, levels, strict=True))


@given(COSTS)
@settings(deadline=None)
def test_every_budget_has_the_allocation_of_least_cost(distortion: list[list[float]]) -> None:
    segments, top = len(distortion), len(distortion[0]) - 1
    found = allocations(distortion)
    assert [sum(levels) for levels in found] == list(range(segments, segments * top + 1))
    for levels in found:
        others = (o for o in product(range(top + 1), repeat=segments) if sum(o) == sum(levels))
        assert cost(distortion, levels) <= min(cost(distortion, o) for o in others) + 1e-9


@given(st.sampled_from([1, 2, 4, 8]), st.integers(1, 8), st.data())
def test_a_budget_is_spent_to_less_than_one_step(segments: int, top: int, data: st.DataObject) -> None:
    budget = data.draw(st.integers(M, M * top))
    distortion = [[(s + 1) * 0.5**l for l in range(top + 1)] for s in range(segments)]
    spent = sum(allocate(budget, M, distortion)) * M // segments
    assert 0 <= budget - spent < M // segments


def test_what_matters_more_gets_more() -> None:
    quartering = [[weight * 0.25**level for level in range(9)] for weight in (100.0, 10.0, 1.0, 0.1)]
    assert allocate(M, M, quartering) == (3, 1, 0, 0)
    assert allocate(10 * M // 4, M, quartering) == (5, 3, 2, 0)
    assert allocate(8 * M, M, quartering) == (8, 8, 8, 8)
    alike = [quartering[0]] * 4
    assert sorted(allocate(9 * M // 4, M, alike)) == [2, 2, 2, 3]


@pytest.mark.parametrize("budget", [0, M - 1, 8 * M + 1])
def test_a_budget_out_of_range_is_refused(budget: int) -> None:
    with pytest.raises(LevelError, match="takes 512 to 4096 bits a picture"):
        allocate(budget, M, [[1.0] * 9] * 4)
