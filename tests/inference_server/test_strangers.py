from __future__ import annotations

import pytest

from inference_server.access.strangers import HOSTS_KEPT, LONGEST_WAIT_S, Strangers


def test_a_few_requests_may_come_at_once_and_then_each_waits_for_its_turn() -> None:
    strangers = Strangers(rate=16)
    assert [strangers.wait("a", 100.0) for _ in range(5)] == pytest.approx([0, 0, 0, 0.05, 0.1125], abs=1e-9)
    assert strangers.wait("b", 100.0) == 0
    assert strangers.wait("a", 100.125) == pytest.approx(0.05)
    assert [strangers.wait("a", 200.0) for _ in range(4)] == pytest.approx([0, 0, 0, 0.05], abs=1e-9)


def test_one_may_come_at_once_however_seldom_they_may() -> None:
    strangers = Strangers(rate=0.5)
    assert [strangers.wait("a", 100.0) for _ in range(3)] == [0, 2, 4]


def test_nobody_waits_longer_than_that_and_few_hosts_are_remembered() -> None:
    strangers = Strangers(rate=4)
    assert max(strangers.wait("a", 0.0) for _ in range(1000)) == LONGEST_WAIT_S
    assert strangers.wait("a", LONGEST_WAIT_S) == 0.25
    for number in range(HOSTS_KEPT):
        strangers.wait(str(number), 1.0)
    assert strangers.wait("a", 1.0) == 0


def test_without_a_rate_nobody_waits() -> None:
    strangers = Strangers(rate=0)
    assert all(strangers.wait("a", 0.0) == 0 for _ in range(100))
