"""What is kept for callers: whoever holds most gives up first."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from inference_server.shares import Shares


def test_the_caller_that_holds_most_gives_up_what_it_used_longest_ago() -> None:
    kept: Shares[str] = Shares(4)
    for key in "xyz":
        assert kept.put("a", key, "a" + key) == []
    assert kept.put("b", "x", "bx") == []
    assert kept.get("a", "x") == "ax"
    assert kept.put("b", "y", "by") == ["ay"]
    assert kept.get("a", "y") is None and kept.get("b", "x") == "bx" and kept.get("c", "x") is None


def test_an_entry_that_is_put_again_or_taken_out_counts_once() -> None:
    kept: Shares[int] = Shares(4)
    assert kept.put("a", "x", 1, 3) == []
    assert kept.put("a", "x", 2, 4) == []
    assert kept.put("b", "x", 3, 5) == [3]  # it is larger than all there is
    assert kept.pop("a", "x") == 2 and kept.pop("a", "x") is None
    assert kept.put("b", "x", 4, 4) == []


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9), st.integers(1, 3)), max_size=120), st.integers(3, 20))
def test_who_holds_less_than_its_share_loses_nothing(put: list[tuple[int, int, int]], most: int) -> None:
    kept: Shares[tuple[int, int, int]] = Shares(most)
    held: dict[tuple[int, int], int] = {}
    for caller, key, size in put:
        held[caller, key] = size
        for loser, lost, _ in kept.put(caller, key, (caller, key, size), size):
            sizes = Counter[int]()
            for (one, _), of_entry in held.items():
                sizes[one] += of_entry
            assert sizes[loser] == max(sizes.values()) > most / len(sizes)
            del held[loser, lost]
        assert sum(held.values()) <= most
    assert all(kept.get(caller, key) == (caller, key, size) for (caller, key), size in held.items())
