import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.allocation import allocate
from wire.exceptions import LevelError

SHAPES = st.tuples(st.sampled_from([1, 2, 4, 8]), st.integers(1, 8), st.integers(0, 3))
M = 512


@given(SHAPES, st.data())
def test_a_budget_is_spent_to_less_than_one_step(shape: tuple[int, int, int], data: st.DataObject) -> None:
    segments, top, lead = shape
    budget = data.draw(st.integers(M, M * top))
    levels = allocate(budget, M, segments, top, lead)
    spent = sum(levels) * M // segments
    assert len(levels) == segments
    assert all(1 <= level <= top for level in levels)
    assert 0 <= budget - spent < M // segments
    assert list(levels) == sorted(levels, reverse=True)


@given(SHAPES, st.data())
def test_more_bits_lower_no_segment(shape: tuple[int, int, int], data: st.DataObject) -> None:
    segments, top, lead = shape
    low, high = sorted((data.draw(st.integers(M, M * top)), data.draw(st.integers(M, M * top))))
    pairs = zip(allocate(low, M, segments, top, lead), allocate(high, M, segments, top, lead), strict=True)
    assert all(a <= b for a, b in pairs)


def test_the_first_segment_leads() -> None:
    assert [allocate(k * 128, M, 4, 8, lead=1) for k in (4, 5, 6, 7, 8, 10)] == [
        (1, 1, 1, 1), (2, 1, 1, 1), (3, 1, 1, 1), (3, 2, 1, 1), (4, 2, 1, 1), (4, 3, 2, 1),
    ]  # fmt: skip
    assert allocate(9 * 128, M, 4, 8, lead=0) == (3, 2, 2, 2)


@pytest.mark.parametrize("budget", [0, M - 1, 8 * M + 1])
def test_a_budget_out_of_range_is_refused(budget: int) -> None:
    with pytest.raises(LevelError, match="takes 512 to 4096 bits a picture"):
        allocate(budget, M, 4, 8)
