"""Answers by key, so that a picture that is sent again is not decoded and counted again."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """Remembers the newest `most` answers. Use from one event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._answers: OrderedDict[Hashable, asyncio.Future[T]] = OrderedDict()

    async def get(self, key: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        """The answer for `key`: made now, awaited where it is being made, or remembered.

        One that fails is not remembered, so that it can be tried again.
        """
        known = self._answers.get(key)
        if known is None or _failed(known):
            known = self._answers[key] = asyncio.ensure_future(make())
            known.add_done_callback(_failed)
        self._answers.move_to_end(key)
        if len(self._answers) > self._most:
            self._answers.popitem(last=False)
        # A caller that goes away leaves its answer to the next one who asks.
        return await asyncio.shield(known)


def _failed(answer: asyncio.Future[T]) -> bool:
    return answer.done() and (answer.cancelled() or answer.exception() is not None)
