"""What a decoder has had to do: lately, and for an hour in coarse samples."""

from __future__ import annotations

import math
import time
from collections import deque
from statistics import quantiles
from typing import Any

from inference_server.history import STEP_S, History, step_of

RECENT, RECENT_S = 4096, 60.0
"""Of the pictures of the last minute so many tell the percentiles."""


class Load:
    """Of one decoder. Use from the event loop only. Times are seconds of the monotonic clock."""

    def __init__(self) -> None:
        self.history = History("pictures", "batches", "p50_ms", "p99_ms", "waiting")
        self._recent: deque[tuple[float, float]] = deque(maxlen=RECENT)
        self._step, self._before = step_of(time.monotonic()), 0
        self._began = time.monotonic()
        self._pictures = self._batches = self._waiting = 0

    def decoded(self, now: float, seconds: list[float], waiting: int) -> None:
        """A batch. seconds: of each picture, from its arrival to its answer. waiting: pictures behind it."""
        self._turn(step_of(now))
        self._pictures += len(seconds)
        self._batches += 1
        self._waiting = max(self._waiting, waiting)
        self._recent.extend((now, one) for one in seconds)

    def _turn(self, step: int) -> None:
        """Puts what has been counted into the history, once its step is over."""
        if step <= self._step:  # times come from two threads
            return
        self._keep()
        self._before = self._pictures if step == self._step + 1 else 0
        self._step, self._pictures, self._batches, self._waiting = step, 0, 0, 0

    def _keep(self) -> None:
        if self._batches:
            p50, p99 = self._percentiles(self._step * STEP_S)
            self.history.put(self._step, self._pictures, self._batches, p50, p99, self._waiting)

    def _percentiles(self, since: float) -> tuple[float, float]:
        """In milliseconds; NaN where there was no picture."""
        seconds = [one for at, one in self._recent if at >= since]
        if not seconds:
            return math.nan, math.nan
        cuts = quantiles(seconds, n=100, method="inclusive") if len(seconds) > 1 else 99 * seconds
        return 1000 * cuts[49], 1000 * cuts[98]

    def now(self, now: float) -> dict[str, Any]:
        """As JSON values: pictures a second, percentiles of the last minute in milliseconds, pictures of a batch."""
        self._turn(step_of(now))
        self._keep()
        p50, p99 = self._percentiles(now - RECENT_S)
        seconds = max(1.0, min(STEP_S + now % STEP_S, now - self._began))
        rows = self.history.since(step_of(now - RECENT_S), self._step)
        pictures, batches = sum(row[1] or 0 for row in rows), sum(row[2] or 0 for row in rows)
        return {
            "rate": round((self._before + self._pictures) / seconds, 2),
            "p50_ms": None if math.isnan(p50) else round(p50, 2),
            "p99_ms": None if math.isnan(p99) else round(p99, 2),
            "batch": round(pictures / batches, 2) if batches else None,
        }
