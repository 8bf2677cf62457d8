"""Versions of one name: which edges get which, whatever is done in whatever order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_server.rollout import Rollout, VersionInUse, place

EDGES = [f"edge {number}" for number in range(1000)]


def with_versions(*more: str) -> Rollout:
    rollout = Rollout("dogs", "a")
    for version in more:
        rollout.add(version)
    return rollout


def test_a_canary_grows_among_the_same_edges_and_becomes_current() -> None:
    rollout, before = with_versions("b"), set[str]()
    assert {rollout.of(edge) for edge in EDGES} == {"a"}
    for share in (0.1, 0.5):
        rollout.promote("b", share)
        now = {edge for edge in EDGES if rollout.of(edge) == "b"}
        assert before < now and len(now) == pytest.approx(1000 * share, abs=50)
        assert (rollout.share("a"), rollout.share("b")) == (1 - share, share)
        before = now
    with pytest.raises(VersionInUse, match="promote another one"):
        rollout.remove("b")
    rollout.promote("b", 1.0)
    assert {rollout.of(edge) for edge in EDGES} == {"b"} and rollout.share("a") == 0
    rollout.remove("a")
    with pytest.raises(VersionInUse, match="nothing to go back to"):
        rollout.roll_back()


def test_where_edges_get_the_latest_version_it_is_current_at_once_and_can_be_rolled_back() -> None:
    rollout = Rollout("dogs", "a", latest=True)
    rollout.add("b")
    rollout.promote("a", 0.3)
    rollout.add("c")
    assert (rollout.current, rollout.canary) == ("c", "")
    rollout.roll_back()
    assert rollout.current == "b", "until another one comes"
    again = Rollout("dogs", "a", latest=True)
    for version in ("new", "b", "c"):
        again.add(version)
    again.restore(["a", "b", "c"], rollout.chosen, "c", 0.1)
    assert (again.current, again.canary) == ("new", ""), "it came while nobody served"
    again.roll_back()
    assert again.current == "b"
    again.restore(["a", "new", "b", "c"], ["a", "b"], "c", 0.1)
    assert (again.current, again.canary) == ("b", "c"), "all are known: it is as it was"


def test_a_rollback_ends_the_canary_first() -> None:
    rollout = with_versions("b", "c")
    rollout.promote("b", 1.0)
    rollout.promote("c", 0.2)
    rollout.roll_back()
    assert rollout.current == "b" and not rollout.canary
    rollout.roll_back()
    assert rollout.current == "a"
    with pytest.raises(VersionInUse, match="is current"):
        rollout.promote("a", 0.5)


def test_an_edge_stands_where_it_stands() -> None:
    """On every server, of every version of this program: else a canary would jump from edge to edge."""
    assert place("dogs", "gate") == pytest.approx(0.3645, abs=1e-4) and place("cats", "gate") != place("dogs", "gate")


def test_what_is_withdrawn_is_followed_by_what_was_before_or_is_newest() -> None:
    rollout = with_versions("b", "c", "d")
    rollout.promote("b", 1.0)
    rollout.promote("d", 0.1)
    rollout.withdraw("b")
    assert (rollout.current, rollout.canary) == ("a", "d"), "the canary goes on"
    rollout.withdraw("a")
    assert (rollout.current, rollout.canary) == ("d", ""), "all edges get it now"
    rollout.withdraw("d")
    rollout.withdraw("c")
    assert rollout.current == "" and not rollout.versions


@given(st.lists(st.tuples(st.sampled_from("prx"), st.sampled_from("abcd"), st.sampled_from([0.0001, 0.3, 1.0]))))
def test_every_edge_has_a_version_that_is_there(steps: list[tuple[str, str, float]]) -> None:
    rollout = with_versions("b", "c", "d")
    for kind, version, share in steps:
        before = rollout.current, rollout.canary
        try:
            if kind == "p" and version in rollout.versions:
                rollout.promote(version, share)
            elif kind == "r":
                rollout.roll_back()
            elif kind == "x" and version in rollout.versions:
                rollout.remove(version)
        except VersionInUse:
            assert (rollout.current, rollout.canary) == before
        assert rollout.current in rollout.versions and rollout.canary in (*rollout.versions, "")
        assert {rollout.of(edge) for edge in EDGES[:5]} <= {rollout.current, rollout.canary}
        assert sum(map(rollout.share, rollout.versions)) == pytest.approx(1)
