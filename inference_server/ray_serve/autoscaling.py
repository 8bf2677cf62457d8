"""How many replicas there should be: more while pictures queue for too long, fewer where fewer decoders would do."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from prometheus_client import REGISTRY

QUEUE_MS, BUSY = "queue_ms", "busy"
"""What each replica reports: how long its pictures waited for the decoder; the share of the time that this decoded."""
MOST_BUSY = 0.6
"""Of a decoder's time, once replicas have gone: pictures come unevenly."""
MOST_GROWTH = 2.0
"""At once; the next look shows what that has brought."""


def replicas_wanted(queue_ms: Sequence[float], busy: Sequence[float], aim_ms: float) -> int:
    """From what each running replica reports, to how many there should be; at least 1.

    aim_ms: replicas are added while pictures queue for longer, on average.
    """
    running = len(queue_ms)
    waited = fmean(queue_ms) if running else 0.0
    if waited > aim_ms:
        return math.ceil(running * min(MOST_GROWTH, waited / aim_ms))
    return max(1, min(running, math.ceil(sum(busy) / MOST_BUSY)))


class QueueTime:
    """The policy as Ray Serve calls it, which adds its delays, and keeps to the least and the most replicas."""

    def __init__(self, aim_ms: float = 20.0) -> None:
        self._aim_ms = aim_ms

    def __call__(self, context: Any) -> tuple[int, dict[str, Any]]:
        reported = context.aggregated_metrics or {}
        if not reported.get(QUEUE_MS):
            return context.target_num_replicas, {}
        queue_ms, busy = (list(reported.get(name, {}).values()) for name in (QUEUE_MS, BUSY))
        return replicas_wanted(queue_ms, busy, self._aim_ms), {}


class DecoderLoad:
    """What a replica reports, from what the server counts anyway. Times are seconds of one clock."""

    def __init__(self, now: float, value: Callable[[str], float | None] = REGISTRY.get_sample_value) -> None:
        self._value = value
        self._before = (now, *self._counted())

    def report(self, now: float) -> dict[str, float]:
        """Since the last report."""
        began, *before = self._before
        self._before = (now, *self._counted())
        queued, pictures, decoded = (after - value for after, value in zip(self._before[1:], before, strict=True))
        return {
            QUEUE_MS: 1000 * queued / pictures if pictures else 0.0,
            BUSY: decoded / (now - began) if now > began else 0.0,
        }

    def _counted(self) -> tuple[float, float, float]:
        names = ("artoveq_queue_seconds_sum", "artoveq_queue_seconds_count", "artoveq_decode_seconds_sum")
        queued, pictures, decoded = (self._value(name) or 0.0 for name in names)
        return queued, pictures, decoded
