"""Which files of a folder are to be read, and which are dealt with. No clock, no disk.

arrivals.scan(found, now)                          what the folder holds
while (file := arrivals.next(now)) is not None:    in the order of their arrival
    arrivals.done(file), or arrivals.unreadable(file, now)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

WRITING_S = 2.0
"""A file that cannot be read, and does not change for so long, is damaged; else it is still being written."""
MOST_GONE = 10_000
"""Files that have left the folder and are still known: one that is mounted again shall not be answered again."""


@dataclass(frozen=True)
class File:
    """mark: changes when the file does."""

    name: str
    mark: str


@dataclass
class _Waiting:
    mark: str
    since: float
    tried: bool = False


class Arrivals:
    """The files of one folder; times are monotonic seconds.

    done: those that are dealt with already, and their marks.
    """

    def __init__(self, done: Mapping[str, str]) -> None:
        self._done = dict(done)
        self._waiting: dict[str, _Waiting] = {}

    def scan(self, found: Mapping[str, str], now: float) -> list[str]:
        """Names and marks of all files, in the order of their arrival; returns those that left without being read."""
        for name, mark in found.items():
            waiting = self._waiting.get(name)
            if self._done.get(name) != mark and (waiting is None or waiting.mark != mark):
                self._waiting[name] = _Waiting(mark, now)
        left = [name for name in self._waiting if name not in found]
        for name in left:
            del self._waiting[name]
        return left

    def forgotten(self, found: Mapping[str, str]) -> list[str]:
        """Names of files that left so long ago that they are not known any more; empty until they are many."""
        gone = [name for name in self._done if name not in found]
        if len(gone) <= MOST_GONE:
            return []
        for name in gone:
            del self._done[name]
        return gone

    def next(self, now: float) -> File | None:
        """The file to read now: one that is new, or was written further, or has not changed for `WRITING_S`."""
        for name, waiting in self._waiting.items():
            if not waiting.tried or now - waiting.since >= WRITING_S:
                return File(name, waiting.mark)
        return None

    def done(self, file: File) -> None:
        """It is dealt with, as it was then."""
        self._done[file.name] = file.mark
        self._waiting.pop(file.name, None)

    def unreadable(self, file: File, now: float) -> bool:
        """Whether it is damaged, and so dealt with; else it is read again later."""
        waiting = self._waiting[file.name]
        if now - waiting.since >= WRITING_S:
            self.done(file)
            return True
        waiting.tried = True
        return False
