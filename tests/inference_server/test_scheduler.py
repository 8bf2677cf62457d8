"""Which pictures are decoded together, and when: in virtual time, without a decoder."""

from __future__ import annotations

import numpy as np
import pytest

from inference_server.scheduler import Scheduler, Work
from wire.exceptions import ServerOverloaded


def work(point: int = 1, since: float = 0.0) -> Work:
    return Work(point, np.zeros(4, np.int32), since, lambda _: None)


def scheduler(batch: int = 4, window: float = 0.0, queue: int = 100) -> Scheduler:
    return Scheduler(batch_pictures=batch, window=window, queue_pictures=queue)


def points(batch: list[Work] | None) -> list[int] | None:
    return None if batch is None else [one.point for one in batch]


def test_what_waits_goes_together() -> None:
    one = scheduler()
    for point in range(1, 8):
        one.submit("a", point, work(point))
    assert one.due() == 0
    assert points(one.next_batch(0)) == [1, 2, 3, 4]
    assert one.waiting == 3


def test_a_second_batch_is_given_out_only_where_it_is_full() -> None:
    one = scheduler()
    for point in range(1, 8):
        one.submit("a", point, work(point))
    one.next_batch(0)
    assert one.due() is None and one.next_batch(9) is None  # three wait
    for point in (8, 9):
        one.submit("a", point, work(point))
    assert points(one.next_batch(0)) == [5, 6, 7, 8]
    for point in range(10, 20):
        one.submit("a", point, work(point))
    assert one.next_batch(9) is None  # two are with the decoder
    one.finished(4, 0.01)
    assert points(one.next_batch(9)) == [9, 10, 11, 12]
    one.finished(4, 0.01)
    one.finished(4, 0.01)
    assert points(one.next_batch(9)) == [13, 14, 15, 16]
    one.finished(4, 0.01)
    assert points(one.next_batch(9)) == [17, 18, 19]
    assert not one.idle
    one.finished(3, 0.01)
    assert one.idle and one.due() is None


def test_newer_planes_replace_a_waiting_request_and_keep_its_place() -> None:
    one = scheduler()
    assert not one.submit("a", "first", work(1))
    assert not one.submit("a", "second", work(7))
    assert one.submit("a", "first", work(2))
    assert one.submit("a", "first", work(3))
    assert one.waiting == 2
    assert points(one.next_batch(0)) == [3, 7]
    assert not one.submit("a", "first", work(4))  # its older state is being decoded, and no longer waits


def test_one_owner_with_many_pictures_does_not_keep_another_waiting() -> None:
    one = scheduler()
    for number in range(10):
        one.submit("greedy", number, work(1))
    for number in range(3):
        one.submit("modest", number, work(2))
    assert points(one.next_batch(0)) == [1, 2, 1, 2]
    one.finished(4, 0.01)
    assert points(one.next_batch(0)) == [1, 2, 1, 1]


def test_a_full_queue_refuses_and_a_withdrawn_picture_makes_room() -> None:
    one = scheduler(queue=2)
    for key in ("a", "b"):
        one.submit("x", key, work())
    with pytest.raises(ServerOverloaded, match="2 pictures are waiting"):
        one.submit("x", "c", work())
    assert one.submit("x", "b", work(2))  # what waits already may be replaced
    one.withdraw("x", "a")
    one.withdraw("x", "a")
    one.withdraw("nobody", "a")
    assert not one.submit("x", "c", work(3))
    assert points(one.next_batch(0)) == [2, 3]


def test_a_refusal_says_how_long_the_queue_takes() -> None:
    one = scheduler(batch=1, queue=3)
    for _ in range(200):
        one.submit("x", 0, work())
        one.next_batch(0)
        one.finished(1, 0.02)
    for key in range(3):
        one.submit("x", key, work())
    with pytest.raises(ServerOverloaded) as full:
        one.submit("x", "more", work())
    assert full.value.retry_after == pytest.approx(3 * 0.02, rel=0.01)


def test_the_first_picture_waits_for_company_while_the_decoder_is_free() -> None:
    one = scheduler(window=0.01)
    one.submit("a", 1, work(1, since=5.0))
    one.submit("b", 1, work(2, since=5.004))
    assert one.due() == pytest.approx(5.01) and one.next_batch(5.009) is None
    assert points(one.next_batch(5.01)) == [1, 2]
    one.submit("a", 2, work(3, since=5.011))
    one.finished(2, 0.01)
    assert points(one.next_batch(5.012)) == [3]  # it has waited for the decoder


def test_a_full_batch_waits_for_no_window() -> None:
    one = scheduler(window=10.0)
    for number in range(4):
        one.submit("a", number, work(1, since=5.0))
    assert points(one.next_batch(5.0)) == [1, 1, 1, 1]
