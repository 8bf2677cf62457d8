"""Of requests that come at once, one begins in each round of the event loop."""

from __future__ import annotations

import asyncio
from collections import deque


class Rounds:
    """Hundreds that begin in one round would keep everybody else waiting for all of them."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._begun = False

    async def next(self) -> None:
        """Waits for a round in which nothing has begun yet."""
        if not self._begun:
            self._begin()
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        await turn

    def _begin(self) -> None:
        self._begun = True
        asyncio.get_running_loop().call_soon(self._round)

    def _round(self) -> None:
        self._begun = False
        while self._waiting and not self._begun:
            turn = self._waiting.popleft()
            if not turn.done():  # who waited may be gone
                turn.set_result(None)
                self._begin()
