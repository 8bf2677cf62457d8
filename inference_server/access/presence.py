"""Which callers are about: those that have sent a picture in the last minute, and may send another one soon."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

ABOUT_S = 60.0
"""How long after its last picture a caller is expected to send another one soon."""


class Presence:
    """The two callers that were last to send one tell. Times are of any one clock, in seconds."""

    def __init__(self) -> None:
        self._latest: OrderedDict[Hashable, float] = OrderedDict()

    def sent_picture(self, caller: Hashable, now: float) -> None:
        """The caller is about."""
        self._latest[caller] = now
        self._latest.move_to_end(caller)
        if len(self._latest) > 2:
            self._latest.popitem(last=False)

    def others_than(self, caller: Hashable, now: float) -> bool:
        """Whether others are about, who would wait for the caller's work."""
        return any(name != caller and now < at + ABOUT_S for name, at in self._latest.items())

    def several(self, now: float) -> bool:
        """Whether two callers or more are about."""
        return len(self._latest) > 1 and now < min(self._latest.values()) + ABOUT_S
