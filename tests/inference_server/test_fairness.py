"""Whose turn it is: in virtual time, and around real coroutines."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_server.access.fairness import BURST_S, CALLERS_KEPT, Fairness
from inference_server.access.presence import ABOUT_S, Presence
from inference_server.access.turns import Cost, Turns, timed


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from("abcd"), st.floats(0.001, 0.1), min_size=2))
def test_whoever_always_waits_gets_as_much_as_the_others(cost: dict[str, float]) -> None:
    one, had = Fairness(1.0), Counter[str]()
    now = 0.0
    for _ in range(500):
        caller = one.next_of(cost, now)
        assert caller is not None  # together they may have all of the time
        one.begins(caller)
        now += cost[caller]
        one.worked(caller, cost[caller], now)
        had[caller] += cost[caller]  # type: ignore[assignment]
    assert max(had.values()) - min(had[name] for name in cost) <= 2 * max(cost.values()) + 1e-6


def test_nobody_saves_up_and_few_callers_are_remembered() -> None:
    one = Fairness(1.0)
    one.worked("a", 5.0, 5.0)
    one.begins("a")  # nobody else waited
    one.worked("b", 1.0, 6.0)  # had nothing for long
    assert one.next_of("ab", 6.0) == "a"
    for number in range(CALLERS_KEPT):
        one.worked(str(number), 1.0, 7.0 + number)
    assert len(one._services) == CALLERS_KEPT


@settings(deadline=None)
@given(st.floats(0.05, 1.0), st.lists(st.floats(0.0001, 0.05), min_size=10, max_size=200))
def test_alone_in_waiting_a_caller_has_its_share_of_the_time(share: float, costs: list[float]) -> None:
    one, now = Fairness(share), 10.0
    for cost in costs:
        now = max(now, one.free_at("a"))
        assert one.next_of("a", now) == "a"
        now += cost
        one.worked("a", cost, now)
    assert one.next_of("ab", one.free_at("a") - 0.001) == "b"
    waited = one.free_at("a") - 10.0
    assert sum(costs) - BURST_S * share <= waited * share + 1e-9 <= sum(costs) + 2e-9


def test_others_are_about_for_a_while_after_their_last_picture() -> None:
    one = Presence()
    assert not one.others_than("a", 0.0) and not one.several(0.0)
    one.sent_picture("a", 0.0)
    assert not one.others_than("a", 1.0) and one.others_than("b", 1.0) and not one.several(1.0)
    one.sent_picture("b", 1.0)
    assert one.several(1.0) and one.others_than("a", ABOUT_S) and not one.others_than("a", ABOUT_S + 1)
    one.sent_picture("c", 2.0)  # the two that came last are enough to know
    assert one.several(ABOUT_S) and not one.several(ABOUT_S + 1)


def test_a_coroutine_is_timed_without_its_waits_or_what_others_have_of_the_processor() -> None:
    async def work() -> str:
        for _ in range(2):
            until = time.thread_time() + 0.02
            while time.thread_time() < until:
                pass
            time.sleep(0.05)  # noqa: ASYNC251 (as where another thread has the processor)
            await asyncio.sleep(0.05)
        return "done"

    taken = Cost()
    assert asyncio.run(timed(work(), taken)) == "done"  # type: ignore[arg-type]
    assert 0.04 <= taken.take() < 0.09
    assert taken.take() == 0


def test_what_befalls_the_wait_befalls_the_work() -> None:
    seen = []

    async def work() -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def run() -> None:
        task = asyncio.create_task(Turns(1.0).piece("a", work()))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def fails() -> None:
        await asyncio.sleep(0)
        raise KeyError

    asyncio.run(run())
    assert seen == ["cancelled"]
    with pytest.raises(KeyError):
        asyncio.run(Turns(1.0).piece("a", fails()))


@pytest.mark.parametrize("shared", [True, False])
def test_in_each_round_of_the_loop_one_piece_of_work_begins(shared: bool) -> None:
    """Of a caller with ten, and one that comes later: it does not wait for the ten."""

    async def run() -> list[tuple[int, str]]:
        turns, now, began = Turns(1.0), [0], list[tuple[int, str]]()
        for name in "ab" if shared else "a":
            turns.presence.sent_picture(name, time.monotonic())

        def count() -> None:
            now[0] += 1
            if now[0] < 100:
                asyncio.get_running_loop().call_soon(count)

        async def work(name: str) -> None:
            await turns.turn(name)
            began.append((now[0], name))
            turns.worked(name, 0.001)

        many = [asyncio.create_task(work("a")) for _ in range(10)]
        gone = asyncio.create_task(work("a"))
        count()
        for _ in range(3):
            await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([*many, asyncio.create_task(work("b" if shared else "a"))])
        return began

    began = asyncio.run(run())
    assert len(began) == 11 + (not shared)
    if shared:
        assert all(later > earlier for (earlier, _), (later, _) in itertools.pairwise(began))
        assert "b" in [name for _, name in began[:6]]
