"""How many streams a server that is fuller than its fellows lets go. It has no clock and no socket: `fellows.py` has.

Where they go to is the balancer's choice; one that leads every edge back to where it was is noticed, and tried ever
less often.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

TOLERANCE = 0.2
"""Of the mean: so much more a server may have."""
TURN_S, LONGEST_TURN_S = 5.0, 600.0
"""Between two times that streams are let go: what has been is to be seen by then; more, where it changed little."""
MOST = 250
"""Streams that are let go at once: each costs its edge and another server a new connection."""
SETTLED_S = 30.0
"""A stream is let go when it is older, so that none goes back and forth."""


class Balance:
    """Of one server. Times are in seconds, of any one clock."""

    def __init__(self) -> None:
        self._turn, self._next = TURN_S, 0.0
        self._let_go, self._before = 0, 0.0

    def streams_to_move(self, own: int, fellows: Sequence[int], movable: int, now: float) -> int:
        """own: streams that stay here. fellows: of each other server. movable: of our own, those that may be let go.

        A half of what is too much is let go at once: others may do so at the same time.
        """
        if now < self._next or not fellows:
            return 0
        mean = (own + sum(fellows)) / (1 + len(fellows))
        excess = own - mean
        if excess < max(1.0, TOLERANCE * mean):
            self._turn, self._let_go = TURN_S, 0
            return 0
        let_go = min(ceil(excess / 2), MOST, movable)
        if not let_go:
            return 0
        in_vain = self._let_go > 0 and self._before - excess < self._let_go / 4
        self._turn = min(2 * self._turn, LONGEST_TURN_S) if in_vain else TURN_S
        self._next, self._let_go, self._before = now + self._turn, let_go, excess
        return let_go
