from __future__ import annotations

from inference_server.access.strangers import HOSTS_KEPT, LONGEST_WAIT_S, Strangers


def test_a_second_of_requests_may_come_at_once_and_then_each_waits_for_its_turn() -> None:
    strangers = Strangers(rate=4)
    assert [strangers.wait("a", 100.0) for _ in range(6)] == [0, 0, 0, 0, 0.25, 0.5]
    assert strangers.wait("b", 100.0) == 0
    assert strangers.wait("a", 100.5) == 0.25
    assert [strangers.wait("a", 200.0) for _ in range(5)] == [0, 0, 0, 0, 0.25]


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
