"""The memory that pictures take while they are being read: all of them together, whoever sent them."""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

M_MMAP_THRESHOLD = -3
"""Of mallopt(3)."""
LARGE_BYTES = 1 << 20


def return_large_blocks() -> None:
    """Has the C library hand large blocks back as they are freed, as it does at first; after some large pictures it
    would keep the like of them in several heaps, and grow. Where it has no such setting, nothing changes."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)


def return_freed() -> None:
    """Has the C library hand back at once what lies free in its heaps, where it can; takes milliseconds."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


class MemoryBudget:
    """So many bytes, held by threads; who came first has them first, so that a large picture waits for no end."""

    def __init__(self, most: int) -> None:
        self._most, self._held = most, 0
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, amount: int) -> Iterator[None]:
        """Waits until there is room, then holds it. amount: bytes, at most as many as there are."""
        assert amount <= self._most, f"{amount} bytes of {self._most}"
        turn = object()
        with self._changed:
            self._waiting.append(turn)
            self._changed.wait_for(lambda: self._waiting[0] is turn and self._held + amount <= self._most)
            self._waiting.popleft()
            self._held += amount
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._held -= amount
                self._changed.notify_all()
