"""Picture files that are read: whose turn it is, and how many."""

from __future__ import annotations

import asyncio
import threading

import pytest

from inference_server.encodings import Encodings
from wire.exceptions import ServerOverloaded


class Held:
    """Work that ends when it is let go, and says in which order it began."""

    def __init__(self) -> None:
        self.go, self.begun = threading.Event(), list[str]()

    def of(self, name: str) -> str:
        self.begun.append(name)
        assert self.go.wait(10)
        if name == "bad":
            raise ValueError(name)
        return name


def test_callers_have_their_turns_and_their_limits() -> None:
    async def run() -> None:
        encodings: Encodings[str] = Encodings(most=6, most_of_caller=4, threads=1)
        held = Held()

        def ask(caller: str, name: str) -> asyncio.Task[str]:
            return asyncio.create_task(encodings.run(caller, lambda: held.of(name)))

        many = [ask("a", f"a{number}") for number in range(5)]
        others = [ask("b", "b0"), ask("b", "bad"), ask("c", "c0")]
        await asyncio.sleep(0)
        with pytest.raises(ServerOverloaded, match="4 picture files of a are being read"):
            await many[4]
        with pytest.raises(ServerOverloaded, match="6 picture files are being read already"):
            await others[2]
        many[2].cancel()  # it has not begun
        await asyncio.gather(many[2], return_exceptions=True)
        late = ask("c", "c1")
        await asyncio.sleep(0)
        held.go.set()
        found = await asyncio.gather(*many[:2], many[3], others[0], others[1], late, return_exceptions=True)
        assert [str(one) for one in found] == ["a0", "a1", "a3", "b0", "bad", "c1"]
        assert held.begun == ["a0", "a1", "b0", "c1", "a3", "bad"]
        assert await encodings.run("a", lambda: "again") == "again"
        encodings.stop()

    asyncio.run(run())
