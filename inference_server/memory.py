"""The memory that pictures take while they are being read: all of them together, whoever sent them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


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
