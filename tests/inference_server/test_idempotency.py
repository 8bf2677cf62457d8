from __future__ import annotations

import asyncio

import pytest

from inference_server.idempotency import IdempotencyCache
from wire.exceptions import ProtocolError, ServerOverloaded


def test_an_answer_is_made_once_and_repeated() -> None:
    made: list[str] = []

    async def make(name: str) -> str:
        made.append(name)
        await asyncio.sleep(0)
        return name.upper()

    async def run() -> None:
        cache: IdempotencyCache[str] = IdempotencyCache(2)

        async def get(name: str) -> str:
            return await cache.get("edge", name, b"", lambda: make(name))

        assert await asyncio.gather(*(get("a") for _ in range(5))) == ["A"] * 5
        assert await get("a") == "A" and made == ["a"]
        for name in ("b", "c", "a"):  # when "a" comes again it is forgotten: two are remembered
            await get(name)
        assert made == ["a", "b", "c", "a"]

    asyncio.run(run())


def test_a_failure_is_not_remembered() -> None:
    async def run() -> None:
        cache: IdempotencyCache[str] = IdempotencyCache(10)
        failing = True

        async def make() -> str:
            if failing:
                raise ServerOverloaded("full")
            return "answer"

        for _ in range(2):
            with pytest.raises(ServerOverloaded):
                await cache.get("edge", "a", b"", make)
        failing = False
        assert await cache.get("edge", "a", b"", make) == "answer"

    asyncio.run(run())


def test_a_caller_who_goes_away_leaves_the_answer_to_the_next() -> None:
    async def run() -> None:
        cache: IdempotencyCache[str] = IdempotencyCache(10)
        begun, go, count = asyncio.Event(), asyncio.Event(), 0

        async def make() -> str:
            nonlocal count
            count += 1
            begun.set()
            await go.wait()
            return "answer"

        first = asyncio.ensure_future(cache.get("edge", "a", b"", make))
        await begun.wait()
        first.cancel()
        second = asyncio.ensure_future(cache.get("edge", "a", b"", make))
        go.set()
        assert await second == "answer" and count == 1

    asyncio.run(run())


def test_a_key_is_bound_to_what_was_asked() -> None:
    async def run() -> None:
        cache: IdempotencyCache[str] = IdempotencyCache(10)

        async def make() -> str:
            return "answer"

        making = asyncio.ensure_future(cache.get("edge", "a", b"one", make))
        await asyncio.sleep(0)
        for _ in range(2):  # while it is being made, and after
            with pytest.raises(ProtocolError, match="has been used for another picture"):
                await cache.get("edge", "a", b"other", make)
            assert await making == "answer"
        assert await cache.get("edge", "a", b"one", make) == "answer"

    asyncio.run(run())


def test_a_caller_with_many_keys_makes_the_server_forget_its_own_alone() -> None:
    async def run() -> None:
        cache: IdempotencyCache[str] = IdempotencyCache(4, size=len)
        made: list[tuple[str, int]] = []

        async def get(caller: str, key: int, answer: str = "x") -> None:
            async def make() -> str:
                made.append((caller, key))
                return answer

            await cache.get(caller, key, b"", make)

        await get("modest", 0)
        for key in range(5):
            await get("greedy", key)
        await get("modest", 0)
        await get("greedy", 4)
        assert made == [("modest", 0), *(("greedy", key) for key in range(5))]
        await get("greedy", 5, "long")  # for which all of its own others go, and it itself at last
        await get("modest", 0)
        await get("greedy", 5)
        assert made[6:] == [("greedy", 5), ("greedy", 5)]

    asyncio.run(run())
