"""Answers by key, so that a picture that is sent again is not decoded and counted again."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """Remembers the newest `most` answers. Use from one event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._answers: OrderedDict[Hashable, T] = OrderedDict()
        self._making: dict[Hashable, asyncio.Task[T]] = {}

    async def get(self, key: Hashable, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The answer for `key`: made now, awaited where it is being made, or remembered.

        One that fails is not remembered, so that it can be tried again.
        """
        if key in self._answers:
            self._answers.move_to_end(key)
            return self._answers[key]
        making = self._making.get(key)
        if making is None:
            making = self._making[key] = asyncio.create_task(make())
            making.add_done_callback(lambda made: self._made(key, made))
        # A caller that goes away leaves its answer to the next one who asks.
        return await asyncio.shield(making)

    def _made(self, key: Hashable, made: asyncio.Task[T]) -> None:
        del self._making[key]
        if made.cancelled() or made.exception() is not None:
            return
        self._answers[key] = made.result()
        if len(self._answers) > self._most:
            self._answers.popitem(last=False)
