"""Whose work the event loop does next, where several callers have some: the caller's that has had least of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

BURST_S = 0.01
"""How far ahead of its share a caller may be."""
CALLERS_KEPT = 10_000
"""Callers that are remembered; the one unseen for longest is forgotten first."""


@dataclass(frozen=True, slots=True)
class _Service:
    """attained: seconds that a caller has had. free_at: from when on that is within its share."""

    attained: float
    free_at: float


class Fairness:
    """Least attained service first. Nobody saves up: who comes back counts as having had what was just served has had.

    While others are about, a caller has no more than its share of the time: they find the loop free mostly.
    Times are of any one monotonic clock, in seconds.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._services: OrderedDict[str, _Service] = OrderedDict()
        self._floor = 0.0

    def begins(self, caller: str) -> None:
        """A piece of the caller's work begins, whether or not others wait."""
        self._floor = self._had(caller)

    def worked(self, caller: str, seconds: float, now: float) -> None:
        """A piece of the caller's work has taken so long, until now."""
        attained = self._had(caller) + seconds
        free_at = max(self.free_at(caller), now - seconds - BURST_S) + seconds / self._share
        self._services[caller] = _Service(attained, free_at)
        self._services.move_to_end(caller)
        if len(self._services) > CALLERS_KEPT:
            self._services.popitem(last=False)

    def free_at(self, caller: str) -> float:
        """From when on the caller's next piece of work may begin, while others are about."""
        return self._services[caller].free_at if caller in self._services else 0.0

    def next_of(self, callers: Iterable[str], now: float) -> str | None:
        """Whose turn it is, of those who wait; None where all of them have had their share for now."""
        return min((one for one in callers if self.free_at(one) <= now), key=self._had, default=None)

    def _had(self, caller: str) -> float:
        return max(self._services[caller].attained if caller in self._services else 0.0, self._floor)
