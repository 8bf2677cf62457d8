"""Bytes from strangers, by the million: each module here is a target, `check(data)`, that must only end in words.

    python -m tests.fuzz pictures --minutes 10

What a target takes is in its first lines; what it found once lies in `corpus`, a folder for each, and every test run
goes through that.
"""

from __future__ import annotations

from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
TARGETS = ("bodies", "entropy", "graphs", "manifests", "payloads", "pictures", "spools", "streams")


class Cursor:
    """Takes bytes apart; what is not there any more is 0, or nothing."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        """The next bytes, at most so many."""
        self._at, begun = self._at + count, self._at
        return self._data[begun : begun + count]

    def number(self, size: int = 1) -> int:
        """The next bytes as a number, the least significant one first."""
        return int.from_bytes(self.take(size), "little")

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._data))
