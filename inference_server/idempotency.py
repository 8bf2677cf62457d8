"""Answers by key, so that a picture that is sent again is not decoded and counted again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from inference_server.shares import Shares
from wire.exceptions import ProtocolError

T = TypeVar("T")

OTHER = "This key has been used for another picture; take a new key for each picture."


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    asked: bytes
    answer: asyncio.Task[T]


class IdempotencyCache(Generic[T]):
    """Remembers answers of the size `most` in all; of the caller that has most the oldest go. Use from one event loop.

    size: of an answer.
    """

    def __init__(self, most: int, size: Callable[[T], int] = lambda _: 1) -> None:
        self._size = size
        self._made: Shares[_Entry[T]] = Shares(most)
        self._making: dict[Hashable, _Entry[T]] = {}

    async def get(self, caller: Hashable, key: Hashable, asked: bytes, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The answer for a caller's `key`: made now, awaited where it is being made, or remembered.

        asked: a hash of what is asked, to which the key is bound. An answer that fails is not remembered, so that it
        can be tried again.

        Raises:
            ProtocolError: if something else was asked with this key.
        """
        entry = self._made.get(caller, key) or self._making.get((caller, key))
        if entry is None:
            entry = self._making[caller, key] = _Entry(asked, asyncio.create_task(make()))
            entry.answer.add_done_callback(lambda _: self._finish(caller, key))
        elif entry.asked != asked:
            raise ProtocolError(OTHER)
        # A caller that goes away leaves its answer to the next one who asks.
        return await asyncio.shield(entry.answer)

    def _finish(self, caller: Hashable, key: Hashable) -> None:
        entry = self._making.pop((caller, key))
        if entry.answer.cancelled() or entry.answer.exception() is not None:
            return
        self._made.put(caller, key, entry, self._size(entry.answer.result()))
