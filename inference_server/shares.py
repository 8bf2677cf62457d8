"""What is kept for callers: so much in all, and no caller keeps another from its share."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class _Held(Generic[V]):
    def __init__(self) -> None:
        self.entries: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
        self.size = 0


class Shares(Generic[V]):
    """Entries by caller and key. Where they are more than `most` in size, the caller that holds most gives up the one
    that it used longest ago: who holds less than its share, `most` by the number of callers, loses nothing."""

    def __init__(self, most: int) -> None:
        self._most, self._size = most, 0
        self._callers: dict[Hashable, _Held[V]] = {}

    def get(self, caller: Hashable, key: Hashable) -> V | None:
        """The entry, which is now the one that was used last."""
        held = self._callers.get(caller)
        if held is None or key not in held.entries:
            return None
        held.entries.move_to_end(key)
        return held.entries[key][0]

    def put(self, caller: Hashable, key: Hashable, value: V, size: int = 1) -> list[V]:
        """Keeps an entry in place of an older one with this key; returns what was given up for it, itself perhaps."""
        self.pop(caller, key)
        held = self._callers.setdefault(caller, _Held())
        held.entries[key] = (value, size)
        held.size += size
        self._size += size
        gone: list[V] = []
        while self._size > self._most:
            name, largest = max(self._callers.items(), key=lambda one: one[1].size)
            given_up = self.pop(name, next(iter(largest.entries)))
            assert given_up is not None
            gone.append(given_up)
        return gone

    def pop(self, caller: Hashable, key: Hashable) -> V | None:
        """Keeps an entry no longer."""
        held = self._callers.get(caller)
        if held is None or key not in held.entries:
            return None
        value, size = held.entries.pop(key)
        held.size -= size
        self._size -= size
        if not held.entries:
            del self._callers[caller]
        return value
