"""How streams end, and move elsewhere, as plans in virtual time."""

from __future__ import annotations

import math

import pytest

from inference_server.streams.actions import (
    End,
    Failed,
    Respond,
    Withdraw,
)
from tests.inference_server.stream_plan import Plan
from wire.exceptions import (
    ServerUnavailable,
)


def test_the_stream_ends_when_everything_is_answered() -> None:
    plan = Plan()
    plan.planes(1, 1, 1)
    plan.block(2)
    assert plan.take(plan.state.input_ended()) == []
    assert plan.notes(Withdraw) == [Withdraw(1)]  # it would never be complete
    assert plan.decode(2) == ["answer 2 point 1 final", "end"]
    assert plan.drain() == []


def test_nothing_is_said_behind_the_end() -> None:
    """The last picture of a draining stream fails by a message, whose receipt comes before the end."""
    plan = Plan()
    plan.planes(1, 1, 1)
    assert plan.drain() == []
    assert plan.planes(1, 1, 1) == ["failure 1", "receipt 1 planes 0", "end"]
    assert isinstance(plan.actions[-1], End)


def test_a_draining_stream_finishes_what_is_there() -> None:
    plan = Plan()
    plan.planes(1, 1, 1)
    assert plan.drain() == []
    assert plan.planes(1, 2, 7) == ["receipt 1 planes 8"]
    assert plan.decode(1) == ["answer 1 point 8 final", "end"]
    assert Plan().drain() == ["end"]


def test_a_stream_ends_that_says_nothing_for_long() -> None:
    plan = Plan(moves=True)
    plan.block(1)
    assert plan.state.due == pytest.approx(600.001)
    assert plan.take(plan.state.time_passed(599.0)) == []
    assert plan.decode(1) == ["answer 1 point 1 final"]
    assert plan.wait() == ["end"] and plan.state.due == math.inf


def test_an_old_stream_is_told_to_move_and_served_until_its_edge_has_gone() -> None:
    plan = Plan(moves=True, age_s=60.0)
    for picture in range(1, 60):
        plan.now = float(picture)
        assert plan.block(picture) == [f"receipt {picture} planes 0"]
        plan.decode(picture, after=0.0)
    plan.planes(60, 1, 2)
    assert plan.wait() == ["move"] and plan.now == 60.0
    assert plan.planes(60, 3, 6) == ["receipt 60 planes 8"]
    assert plan.decode(60) == ["answer 60 point 8 final"]
    assert plan.block(61) == ["receipt 61 planes 0"]  # nobody else has answered the edge
    assert plan.wait() == ["move"] and plan.now == 120.0
    assert plan.decode(61) == ["answer 61 point 1 final"]
    assert plan.take(plan.state.input_ended()) == ["end"]


def test_an_edge_is_told_which_version_of_its_model_it_is_to_have() -> None:
    plan = Plan(moves=True)
    plan.block(1)
    assert plan.take(plan.state.follow("ab")) == ["move"]
    (said,) = plan.notes(Respond)
    assert isinstance(said, Respond) and said.response.move.fingerprint == "ab"
    assert plan.decode(1) == ["answer 1 point 1 final"]
    plan.take(plan.state.input_ended())
    assert plan.take(plan.state.follow("cd")) == [] == Plan().take(Plan().state.follow("ab"))


def test_an_edge_that_does_not_read_move_is_not_told() -> None:
    plan = Plan(age_s=60.0)
    plan.block(1)
    assert plan.state.due == pytest.approx(600.001)
    assert plan.drain() == []
    assert plan.block(2) == ["failure 2", "receipt 2 planes 0"]
    assert plan.decode(1) == ["answer 1 point 1 final", "end"]


def test_a_stopping_server_tells_edges_to_move_and_takes_what_is_on_its_way() -> None:
    plan = Plan(moves=True, age_s=60.0)
    plan.now = 59.9
    plan.block(1)
    assert plan.drain() == ["move"]
    plan.now += 0.2
    assert plan.block(2) == ["receipt 2 planes 0"]
    assert plan.decode(1) == ["answer 1 point 1 final"]
    assert plan.wait() == [] and plan.now == pytest.approx(60.352)  # not told twice
    assert plan.block(3) == ["failure 3", "receipt 3 planes 0"]
    (note,) = plan.notes(Failed)
    assert isinstance(note, Failed) and isinstance(note.error, ServerUnavailable)
    assert plan.decode(2) == ["answer 2 point 1 final", "end"] and plan.state.due == math.inf
    idle = Plan(moves=True)
    assert idle.drain() == ["move"] and idle.wait() == ["end"] and idle.now == pytest.approx(0.25)


def test_a_stream_that_is_gone_wants_nothing_any_more() -> None:
    plan = Plan()
    plan.planes(1, 1, 1)
    assert plan.state.close() == [Withdraw(1)]
    assert plan.decode(1) == []
