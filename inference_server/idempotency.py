"""Answers by key, so that a picture that is sent again is not decoded and counted again."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from wire.exceptions import ProtocolError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    asked: bytes
    answer: asyncio.Task[T]


class IdempotencyCache(Generic[T]):
    """Remembers the newest `most` answers. Use from one event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._made: OrderedDict[Hashable, _Entry[T]] = OrderedDict()
        self._making: dict[Hashable, _Entry[T]] = {}

    async def get(self, key: Hashable, asked: bytes, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The answer for `key`: made now, awaited where it is being made, or remembered.

        asked: a hash of what is asked, to which the key is bound. An answer that fails is not remembered, so that it
        can be tried again.

        Raises:
            ProtocolError: if something else was asked with this key.
        """
        entry = self._made.get(key) or self._making.get(key)
        if entry is None:
            entry = self._making[key] = _Entry(asked, asyncio.create_task(make()))
            entry.answer.add_done_callback(lambda _: self._finish(key))
        elif entry.asked != asked:
            raise ProtocolError("This key has been used for another picture; take a new key for each picture.")
        elif key in self._made:
            self._made.move_to_end(key)
        # A caller that goes away leaves its answer to the next one who asks.
        return await asyncio.shield(entry.answer)

    def _finish(self, key: Hashable) -> None:
        entry = self._making.pop(key)
        if entry.answer.cancelled() or entry.answer.exception() is not None:
            return
        self._made[key] = entry
        if len(self._made) > self._most:
            self._made.popitem(last=False)
