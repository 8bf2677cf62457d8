"""Of work that comes at once, one piece begins in each round of the event loop: hundreds that begin in one round would
keep everybody else waiting for all of them."""

from __future__ import annotations

import asyncio
from collections import deque


class Rounds:
    """The oldest piece begins first. pause_s: between two, at the least."""

    def __init__(self, pause_s: float = 0.0) -> None:
        self._pause_s = pause_s
        self._oldest: deque[asyncio.Future[None]] = deque()
        self._begun = False

    async def next(self) -> None:
        """Waits for a round in which nothing has begun yet."""
        if not self._begun:
            self._begin()
            return
        turn = asyncio.get_running_loop().create_future()
        self._oldest.append(turn)
        await turn

    def _begin(self) -> None:
        self._begun = True
        loop = asyncio.get_running_loop()
        if self._pause_s:
            loop.call_later(self._pause_s, self._round)
        else:
            loop.call_soon(self._round)

    def _round(self) -> None:
        self._begun = False
        if (turn := self._chosen()) is not None:
            turn.set_result(None)
            self._begin()

    def _chosen(self) -> asyncio.Future[None] | None:
        """Whose turn it is, of those that still wait; who waited may be gone."""
        while self._oldest:
            if not (turn := self._oldest.popleft()).done():
                return turn
        return None
