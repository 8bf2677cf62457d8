"""Which models make room, in virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_server.room import IDLE_S, Held, to_unload
from wire.exceptions import ServerOverloaded

A, B, C = (Held(name, 10, asked, False) for name, asked in (("a", 3.0), ("b", 1.0), ("c", 2.0)))


def test_those_that_were_asked_longest_ago_go_first_and_no_more_than_have_to() -> None:
    assert to_unload([A, B, C], 10, 40, 100.0) == []
    assert to_unload([A, B, C], 10, 30, 100.0) == ["b"]
    assert to_unload([A, B, C], 20, 30, 100.0) == ["b", "c"]
    assert to_unload([A, B, C], 30, 30, 100.0) == ["b", "c", "a"]


def test_those_in_use_stay_and_the_caller_hears_for_how_long() -> None:
    works = Held("b", 10, 1.0, True)
    assert to_unload([A, works, C], 10, 30, 100.0) == ["c"]
    assert to_unload([A, C], 10, 20, 2.0 + IDLE_S) == ["c"]
    with pytest.raises(ServerOverloaded, match="try again") as refused:
        to_unload([A, C], 10, 20, 2.5)
    assert refused.value.retry_after == pytest.approx(2.0 + IDLE_S - 2.5)
    with pytest.raises(ServerOverloaded):
        to_unload([A, C], 20, 20, 2.5 + IDLE_S)


@given(
    st.lists(st.tuples(st.integers(1, 50), st.floats(0, 10), st.booleans()), max_size=8),
    st.integers(1, 100),
    st.floats(0, 20),
)
def test_the_budget_holds_and_nobody_in_use_goes(held: list[tuple[int, float, bool]], wanted: int, now: float) -> None:
    models = {str(n): Held(str(n), *one) for n, one in enumerate(held)}
    most = max(100, sum(one.bytes for one in models.values()))
    try:
        gone = to_unload(list(models.values()), wanted, most, now)
    except ServerOverloaded as error:
        assert error.retry_after > 0
        return
    assert sum(one.bytes for name, one in models.items() if name not in gone) + wanted <= most
    assert not any(models[name].works or now < models[name].asked + IDLE_S for name in gone)
