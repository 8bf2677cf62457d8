from __future__ import annotations

import asyncio

import pytest

from inference_server.once import Once
from wire.exceptions import ServerOverloaded


def test_an_answer_is_made_once_and_repeated() -> None:
    made: list[str] = []

    async def make(name: str) -> str:
        made.append(name)
        await asyncio.sleep(0.01)
        return name.upper()

    async def run() -> None:
        once: Once[str] = Once(2)
        both = await asyncio.gather(*(once.get("a", lambda: make("a")) for _ in range(5)))
        assert both == ["A"] * 5 and await once.get("a", lambda: make("a")) == "A"
        assert made == ["a"]
        for name in ("b", "c"):
            await once.get(name, lambda name=name: make(name))  # type: ignore[misc]
        await once.get("a", lambda: make("a"))  # forgotten meanwhile: two are remembered
        assert made == ["a", "b", "c", "a"]

    asyncio.run(run())


def test_a_failure_is_not_remembered() -> None:
    async def run() -> None:
        once: Once[str] = Once(10)
        failing = True

        async def make() -> str:
            if failing:
                raise ServerOverloaded("full")
            return "answer"

        for _ in range(2):
            with pytest.raises(ServerOverloaded):
                await once.get("a", make)
        failing = False
        assert await once.get("a", make) == "answer"

    asyncio.run(run())


def test_a_caller_who_goes_away_leaves_the_answer_to_the_next() -> None:
    async def run() -> None:
        once: Once[str] = Once(10)
        count = 0

        async def make() -> str:
            nonlocal count
            count += 1
            await asyncio.sleep(0.05)
            return "answer"

        first = asyncio.ensure_future(once.get("a", make))
        await asyncio.sleep(0.01)
        first.cancel()
        assert await once.get("a", make) == "answer" and count == 1

    asyncio.run(run())
