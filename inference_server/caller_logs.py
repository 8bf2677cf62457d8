"""The logs of what callers do: enough lines to see what happens, however much that is."""

from __future__ import annotations

import logging

MOST = 60
"""Lines in PERIOD_S."""
PERIOD_S = 60.0


class AtMost(logging.Filter):
    """Lets so many records of a period through; the first one of a later period says how many it has left out."""

    def __init__(self, most: int = MOST, period_s: float = PERIOD_S) -> None:
        super().__init__()
        self._most, self._period_s = most, period_s
        self._until, self._count, self._left_out = 0.0, 0, 0

    def filter(self, record: logging.LogRecord) -> bool:
        if record.created >= self._until:
            if self._left_out:
                record.msg, record.args = (
                    f"{record.getMessage()} ({self._left_out} more like it before this one.)",
                    None,
                )
            self._until, self._count, self._left_out = record.created + self._period_s, 0, 0
        self._count += 1
        self._left_out += self._count > self._most
        return self._count <= self._most


def bounded(name: str) -> logging.Logger:
    """A log of what callers do, which no caller can fill."""
    made = logging.getLogger(name)
    made.addFilter(AtMost())
    return made


refusals = bounded("inference_server.refusals")
"""Of calls, requests and pictures that are refused."""
edges = bounded("inference_server.edges")
"""Of edges that come and go."""
