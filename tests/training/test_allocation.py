from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from training.allocation import allocations

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
