"""How a watch goes, in a line now and then, and one at its end."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from statistics import median

from artoveq.watch.sinks import Record

log = logging.getLogger(__name__)

EVERY_S = 60.0
LATENCIES = 10_000
"""Of so many newest pictures the median is taken."""


class Summary:
    """A sink that counts. clock: seconds of any one monotonic clock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._began = clock, clock()
        self._all, self._minute, self._said = _Counts(), _Counts(), self._began

    def send(self, record: Record) -> None:
        """Counts it; once a minute the log says what came since."""
        for counts in (self._minute, self._all):
            counts.add(record)
        if self._clock() >= self._said + EVERY_S:
            log.info("The last %.0f s: %s.", self._clock() - self._said, self._minute)
            self._minute, self._said = _Counts(), self._clock()

    async def taken(self) -> bool:
        """At once."""
        return True

    def close(self) -> None:
        """The log says how all of it went."""
        log.info("In %.0f s: %s.", self._clock() - self._began, self._all)


class _Counts:
    def __init__(self) -> None:
        self._outcomes: Counter[str] = Counter()
        self._bytes = 0
        self._latencies: deque[float] = deque(maxlen=LATENCIES)

    def add(self, record: Record) -> None:
        self._outcomes["by the edge alone"] += bool(record.get("local"))
        if "error" in record:
            self._outcomes["failed"] += 1
        elif "kept" in record:
            self._outcomes["kept"] += 1
        elif "delivered" in record:
            self._outcomes["delivered later"] += 1
        else:
            self._outcomes["answered"] += 1
            self._outcomes["in time"] += record["deadline_met"]
            self._bytes += record["payload_bytes"]
            self._latencies.append(record["latency_ms"])

    def __str__(self) -> str:
        answered = self._outcomes["answered"]
        said = [f"{answered:,} answered, {self._outcomes['in time']:,} of them in time"]
        said += [
            f"{n:,} {kind}"
            for kind in ("failed", "kept", "delivered later", "by the edge alone")
            if (n := self._outcomes[kind])
        ]
        if answered:
            said.append(f"{self._bytes / answered:.0f} bytes and {median(self._latencies):.0f} ms a picture")
        return "; ".join(said)
