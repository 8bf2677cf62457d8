"""An emulated link: packets leave as fast as a trace says, with delay, jitter and loss. Its time is an argument."""

from __future__ import annotations

import bisect
import csv
import math
import random
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path

from wire.exceptions import DataError


class CapacityTrace:
    """Capacity over time: steps of (seconds, bits per second); the last one stays."""

    def __init__(self, steps: Sequence[tuple[float, float]]) -> None:
        if not steps or any(rate <= 0 for _, rate in steps) or list(steps) != sorted(steps):
            raise DataError("A trace has rows of seconds,kilobits per second: growing times, rates above 0.")
        self.times = [at for at, _ in steps]
        self.rates = [rate for _, rate in steps]
        whole = [rate * (b - a) for rate, (a, b) in zip(self.rates, pairwise(self.times), strict=False)]
        self._passed = list(accumulate(whole, initial=0.0))
        """Bits until each step begins."""

    @classmethod
    def read(cls, path: Path) -> CapacityTrace:
        """Reads a CSV of seconds,kilobits per second; # begins a comment.

        Raises:
            DataError: if it cannot be read, or is no such trace.
        """
        try:
            rows = csv.reader(line for line in path.read_text().splitlines() if line.strip()[:1] not in ("", "#"))
            return cls([(float(at), float(rate) * 1000) for at, rate in rows])
        except OSError as error:
            raise DataError(f"The trace {path} cannot be read ({error.strerror}).") from error
        except ValueError as error:
            raise DataError(f"The trace {path} is not a CSV of seconds,kilobits per second ({error}).") from error

    def capacity(self, at: float) -> float:
        """Bits per second at `at` seconds."""
        return self.rates[self._step(at)]

    def bits(self, start: float, end: float) -> float:
        """What passes from `start` to `end`."""
        first, last = self._step(start), self._step(end)
        if first == last:  # exact, however long the trace is
            return self.rates[first] * (end - start)
        return self._passed[last] - self._passed[first] + self._inside(last, end) - self._inside(first, start)

    def carried(self, start: float, bits: float) -> float:
        """When `bits` have passed that begin to pass at `start`."""
        for i in range(self._step(start), len(self.rates)):
            rate, until = self.rates[i], self.times[i + 1] if i + 1 < len(self.times) else math.inf
            if (end := start + bits / rate) <= until:
                return end
            bits -= rate * (until - start)
            start = until
        raise AssertionError("the last step has no end")

    def _step(self, at: float) -> int:
        return max(0, bisect.bisect_right(self.times, at) - 1)

    def _inside(self, step: int, at: float) -> float:
        return self.rates[step] * (at - self.times[step])


UNLIMITED = CapacityTrace([(0.0, 1e12)])


class Shaper:
    """When packets arrive at the other end of a link.

    A token bucket of `burst` bits fills along the trace; a packet leaves when the bucket holds its bits.
    delay: seconds. jitter: seconds more at most, drawn evenly. The `loss`th part of packets is lost; TCP notices a
    round trip or two later and sends it again, and what is behind it waits. Packets arrive in order.
    What the link is like may be changed at any time, for packets that are handed over from then on.
    """

    def __init__(
        self,
        trace: CapacityTrace,
        *,
        burst: float = 0.0,
        delay: float = 0.0,
        jitter: float = 0.0,
        loss: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.trace, self.delay, self.jitter, self.loss = trace, delay, jitter, loss
        self._burst, self._tokens, self._since = burst, burst, 0.0
        self._free = 0.0
        """When the way is free again behind what was sent again or held up."""
        self._random = random.Random(seed)

    def arrives(self, now: float, bits: float) -> float:
        """When a packet arrives that is handed over at `now`; calls are in order."""
        start = max(now, self._since)
        if self._burst:
            self._tokens = min(self._burst, self._tokens + self.trace.bits(self._since, start))
        self._since = start
        if bits <= self._tokens:
            self._tokens -= bits
            left = start
        else:
            left = self.trace.carried(start, bits - self._tokens)
            self._tokens, self._since = 0.0, left
        if self._random.random() < self.loss:
            self.hold(left + 5 * self.delay)
        late = self.jitter * self._random.random() if self.jitter else 0.0
        self._free = max(self._free, left + self.delay + late)
        return self._free

    def hold(self, until: float) -> None:
        """Nothing that is handed over from now on arrives before `until`."""
        self._free = max(self._free, until)
