"""When pictures come, at random (Poisson)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import numpy as np


class Arrivals:
    """So many a second, for so many seconds, from now on; iterates over the times they were due, of `perf_counter`."""

    def __init__(self, rate: float, seconds: float) -> None:
        self._rate, self._rng = rate, np.random.default_rng(0)
        self._due = time.perf_counter()
        self.ends = self._due + seconds

    async def __aiter__(self) -> AsyncIterator[float]:
        while (due := self._due + self._rng.exponential(1 / self._rate)) < self.ends:
            self._due = due
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            yield due
