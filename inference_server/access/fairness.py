"""Whose work the event loop does next, where several callers have some: the caller's that has had least of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

ABOUT_S = 60.0
"""How long after its last picture a caller is expected to send another one soon."""
BURST_S = 0.02
"""How far ahead of its share a caller may be."""
CALLERS_KEPT = 10_000
"""Callers that are remembered; the one unseen for longest is forgotten first."""


class Fairness:
    """Least attained service first. Nobody saves up: who comes back counts as having had what was just served has had.

    While others are about, a caller has no more than its share of the time: they find the loop free mostly.
    Times are of any one monotonic clock, in seconds.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._attained: OrderedDict[str, float] = OrderedDict()
        self._free: dict[str, float] = {}
        """From when on what a caller has had is within its share; of the same callers."""
        self._floor = 0.0
        self._latest: OrderedDict[str, float] = OrderedDict()
        """When the two callers that sent pictures last have done so."""

    def sent_picture(self, caller: str, now: float) -> None:
        """The caller is about."""
        self._latest[caller] = now
        self._latest.move_to_end(caller)
        if len(self._latest) > 2:
            self._latest.popitem(last=False)

    def shared(self, caller: str, now: float) -> bool:
        """Whether others than the caller are about, who would wait for its work."""
        return any(name != caller and now < at + ABOUT_S for name, at in self._latest.items())

    def begins(self, caller: str) -> None:
        """A piece of the caller's work begins, whether or not others wait."""
        self._floor = self._had(caller)

    def worked(self, caller: str, seconds: float, now: float) -> None:
        """A piece of the caller's work has taken so long, until now."""
        self._attained[caller] = self._had(caller) + seconds
        self._free[caller] = max(self.free_at(caller), now - seconds - BURST_S) + seconds / self._share
        self._attained.move_to_end(caller)
        if len(self._attained) > CALLERS_KEPT:
            forgotten, _ = self._attained.popitem(last=False)
            del self._free[forgotten]

    def free_at(self, caller: str) -> float:
        """From when on the caller's next piece of work may begin, while others are about."""
        return self._free.get(caller, 0.0)

    def next_of(self, callers: Iterable[str], now: float) -> str | None:
        """Whose turn it is, of those who wait; None where all of them have had their share for now."""
        return min((one for one in callers if self.free_at(one) <= now), key=self._had, default=None)

    def _had(self, caller: str) -> float:
        return max(self._attained.get(caller, 0.0), self._floor)
