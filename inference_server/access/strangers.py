"""Who has no token is heard, and refused, so often and no more: what it asks beyond that waits."""

from __future__ import annotations

from collections import OrderedDict

HOSTS_KEPT = 10_000
"""Hosts that are remembered; the one unseen for longest is forgotten first."""
BURST_S = 0.2
"""A host that has been silent may have the requests of so long at once, or one."""
LONGEST_WAIT_S = 5.0


class Strangers:
    """A schedule for each host, of so many requests a second; 0: nobody waits.

    Times are of any one monotonic clock, in seconds.
    """

    def __init__(self, rate: float) -> None:
        self._step = 1 / rate if rate else 0.0
        self._burst = max(BURST_S, self._step)
        self._due: OrderedDict[str, float] = OrderedDict()

    def wait(self, host: str, now: float) -> float:
        """Seconds for which a request that has just come waits."""
        due = max(self._due.pop(host, now - self._burst), now - self._burst) + self._step
        self._due[host] = due = min(due, now + LONGEST_WAIT_S)
        if len(self._due) > HOSTS_KEPT:
            self._due.popitem(last=False)
        return max(0.0, due - now)
