"""What the workers of one server remember together: the supervisor's side, in memory."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Kept:
    value: str
    until: float


class KeptAnswers:
    """Values by key, of `most` KiB in all, each counting as one at least; the oldest go first.

    Times are of any one monotonic clock, in seconds.
    """

    def __init__(self, most: int) -> None:
        self._most, self._size = most, 0
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def claim(self, key: str, value: str, seconds: float, now: float) -> str | None:
        """Puts a value where there is none; else what is there."""
        found = self._kept.get(key)
        if found is not None and now < found.until:
            return found.value
        self.put(key, value, seconds, now)
        return None

    def put(self, key: str, value: str, seconds: float, now: float) -> None:
        """Puts a value, whatever is there."""
        self._remove(key)
        self._kept[key] = _Kept(value, now + seconds)
        self._size += _size(value)
        while self._size > self._most:
            self._remove(next(iter(self._kept)))

    def release(self, key: str, value: str) -> None:
        """Takes a value away, if it is still this one."""
        found = self._kept.get(key)
        if found is not None and found.value == value:
            self._remove(key)

    def _remove(self, key: str) -> None:
        gone = self._kept.pop(key, None)
        if gone is not None:
            self._size -= _size(gone.value)


def _size(value: str) -> int:
    return 1 + len(value) // 1024
