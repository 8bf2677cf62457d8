"""Which pictures are decoded together, and when: in virtual time, without a decoder."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_server.access.presence import ABOUT_S
from inference_server.scheduler import Scheduler, Work
from wire.exceptions import ServerOverloaded


def work(point: int = 1, since: float = 0.0, caller: str = "a") -> Work:
    return Work(caller, point, np.zeros(4, np.int32), since, lambda _: None)


def scheduler(batch: int = 4, window: float = 0.0, queue: int = 100, each: int = 100) -> Scheduler:
    return Scheduler(batch_pictures=batch, caller_pictures=each, window=window, queue_pictures=queue)


def points(batch: list[Work] | None) -> list[int] | None:
    return None if batch is None else [one.point for one in batch]


def callers(batch: list[Work] | None) -> str:
    return "".join(str(one.caller) for one in batch or ())


def test_what_waits_goes_together() -> None:
    one = scheduler()
    for point in range(1, 8):
        one.submit("stream", point, work(point))
    assert one.due() == 0
    assert points(one.next_batch(0)) == [1, 2, 3, 4]
    assert one.waiting == 3


def test_a_second_batch_is_given_out_only_where_it_is_full() -> None:
    one = scheduler()
    for point in range(1, 8):
        one.submit("stream", point, work(point))
    one.next_batch(0)
    assert one.due() is None and one.next_batch(9) is None  # three wait
    for point in (8, 9):
        one.submit("stream", point, work(point))
    assert points(one.next_batch(0)) == [5, 6, 7, 8]
    for point in range(10, 20):
        one.submit("stream", point, work(point))
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


def test_while_others_are_about_no_batch_is_given_out_ahead() -> None:
    one = scheduler(batch=2)
    one.submit("stream", 0, work(caller="b"))
    one.next_batch(0)
    one.finished(1, 0.01)
    for point in range(1, 9):
        one.submit("stream", point, work(point))
    assert points(one.next_batch(0)) == [1, 2]
    assert one.due() is None and one.next_batch(0) is None
    one.finished(2, 0.01)
    assert points(one.next_batch(0)) == [3, 4]
    one.finished(2, 0.01)
    assert points(one.next_batch(ABOUT_S + 1)) == [5, 6] and points(one.next_batch(ABOUT_S + 1)) == [7, 8]


def test_newer_planes_replace_a_waiting_request_and_keep_its_place() -> None:
    one = scheduler()
    older, newer = work(1), work(2)
    assert one.submit("stream", "first", older) is None
    assert one.submit("stream", "second", work(7)) is None
    assert one.submit("stream", "first", newer) is older
    assert one.submit("stream", "first", work(3)) is newer
    assert one.waiting == 2
    assert points(one.next_batch(0)) == [3, 7]
    assert one.submit("stream", "first", work(4)) is None  # its older state is being decoded, and no longer waits


def test_one_stream_with_many_pictures_does_not_keep_another_waiting() -> None:
    one = scheduler()
    for number in range(10):
        one.submit("greedy", number, work(1))
    for number in range(3):
        one.submit("modest", number, work(2))
    assert points(one.next_batch(0)) == [1, 2, 1, 2]
    one.finished(4, 0.01)
    assert points(one.next_batch(0)) == [1, 2, 1, 1]


def test_a_caller_with_many_streams_has_no_larger_share() -> None:
    one = scheduler()
    for stream in range(4):
        for number in range(10):
            one.submit(f"a{stream}", number, work(1 + stream))
    for number in range(3):
        one.submit("b", number, work(9, caller="b"))
    assert points(one.next_batch(0)) == [1, 9, 2, 9]
    one.finished(4, 0.01)
    assert points(one.next_batch(0)) == [3, 9, 4, 1]


def test_while_others_are_about_a_caller_has_so_many_pictures_in_a_batch() -> None:
    one = scheduler(batch=8, each=2)

    def batch(now: float) -> str:
        found = callers(one.next_batch(now))
        one.finished(len(found), 0.01)
        return found

    for number in range(80):
        one.submit("stream", number, work(caller="a"))
    assert batch(0) == 8 * "a"  # nobody else was ever there
    one.submit("stream", 0, work(since=1, caller="b"))
    assert batch(1) == "aba"
    assert batch(1 + ABOUT_S / 2) == "aa"  # b may come back
    assert batch(1 + ABOUT_S) == 8 * "a"
    for number in range(5):
        one.submit("stream", number, work(since=100, caller="b"))
    assert batch(100) == "abab"


@pytest.mark.parametrize("last", ["b", "c"])
def test_in_a_full_queue_a_caller_without_its_share_displaces_who_has_most(last: str) -> None:
    one = scheduler(batch=9, queue=9)
    sent = [work(caller="a") for _ in range(6)]
    for number, each in enumerate(sent):
        one.submit(number % 2, number, each)
    for number in range(3):
        one.submit("stream", number, work(caller="b"))
    with pytest.raises(ServerOverloaded, match="9 pictures are waiting"):
        one.submit("more", 0, work(caller="a"))
    gone = one.submit("stream", "new", work(caller=last))
    assert gone is sent[4]  # the newest of the first of its streams that have most
    assert one.waiting == 9
    found = Counter(callers(one.next_batch(0)))
    assert found == Counter("aaaaabbbb" if last == "b" else "aaaaabbbc")


def test_no_caller_displaces_another_with_the_same_share() -> None:
    one = scheduler(queue=3)
    for caller in "abc":
        one.submit("stream", 0, work(caller=caller))
    for caller in "abcd":
        with pytest.raises(ServerOverloaded):
            one.submit("stream", 1, work(caller=caller))
    assert callers(one.next_batch(0)) == "abc"


def test_a_full_queue_refuses_and_a_withdrawn_picture_makes_room() -> None:
    one = scheduler(queue=2)
    for key in ("a", "b"):
        one.submit("x", key, work())
    with pytest.raises(ServerOverloaded, match="2 pictures are waiting"):
        one.submit("x", "c", work())
    assert one.submit("x", "b", work(2)) is not None  # what waits already may be replaced
    one.withdraw("a", "x", "a")
    one.withdraw("a", "x", "a")
    one.withdraw("a", "y", "a")
    one.withdraw("nobody", "x", "a")
    assert one.submit("x", "c", work(3)) is None
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


@dataclass(frozen=True)
class Arrival:
    """A picture of a caller, on one of its streams, that comes before the batch of this number is taken."""

    batch: int
    caller: int
    stream: int


ARRIVALS = st.lists(st.builds(Arrival, st.integers(0, 6), st.integers(0, 3), st.integers(0, 2)), max_size=150)


@given(ARRIVALS, st.integers(1, 6), st.integers(1, 4))
def test_no_caller_waits_longer_than_its_share(arrivals: list[Arrival], batch: int, each: int) -> None:
    """While a caller has something waiting, nobody else gets two turns before it gets one; a stream keeps its order."""
    one, left = scheduler(batch=batch, each=each, queue=1000), Counter[int]()
    waits: dict[int, Counter[int]] = {}  # by caller: the others' turns since its own last one
    order: dict[tuple[int, int], list[int]] = {}
    for number in range(7 + len(arrivals)):
        for place, came in enumerate(arrivals):
            if came.batch == number:
                sent = Work(came.caller, place, np.zeros(0, np.int32), float(number), lambda _: None)
                one.submit(came.stream, place, sent)
                waits.setdefault(came.caller, Counter())
                left[came.caller] += 1
        if not one.waiting:
            continue
        for turn in (found := one.next_batch(number) or []):
            arrival = arrivals[turn.point]
            order.setdefault((arrival.caller, arrival.stream), []).append(turn.point)
            left[arrival.caller] -= 1
            for other in waits:
                waits[other][arrival.caller] += 1
            assert max(waits[arrival.caller].values()) == 1
            waits[arrival.caller].clear()
        one.finished(len(found), 0.01)
        waits = {caller: since for caller, since in waits.items() if left[caller]}
    assert sum(map(len, order.values())) == len(arrivals) and not one.waiting
    assert all(places == sorted(places, key=lambda at: (arrivals[at].batch, at)) for places in order.values())


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1)), max_size=200), st.integers(1, 12))
def test_nobody_who_has_less_than_its_share_of_the_queue_is_refused(sent: list[tuple[int, int]], limit: int) -> None:
    one, has = scheduler(batch=100, queue=limit), Counter[int]()
    for key, (caller, stream) in enumerate(sent):
        about = len({*has} | {caller})
        try:
            gone = one.submit(stream, key, Work(caller, 1, np.zeros(0, np.int32), 0.0, lambda _: None))
        except ServerOverloaded:
            assert has[caller] >= limit // about
        else:
            has[caller] += 1
            if gone is not None:
                assert has[gone.caller] == max(has.values()) > limit // about  # type: ignore[index]
                has[gone.caller] -= 1  # type: ignore[index]
        has = +has
        assert one.waiting == sum(has.values()) <= limit
    found = one.next_batch(0) or []
    assert Counter(each.caller for each in found) == has
