"""One server's callers: who they are, the rate of their pictures, and the number of their streams."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from dataclasses import dataclass

from inference_server.access.tokens import Tokens
from inference_server.settings import Settings
from wire.exceptions import ServerOverloaded

CALLERS_KEPT = 10_000
"""Callers whose rate is remembered; the one unseen for longest is forgotten first."""


@dataclass
class _Allowance:
    """A token bucket that holds one second's worth."""

    pictures: float
    since: float


class Access:
    """Callers by the names of their tokens, or, without tokens, by the hosts they come from.

    Times are the monotonic clock's, in seconds.
    """

    def __init__(self, settings: Settings) -> None:
        self._tokens = Tokens(settings.tokens_file, time.monotonic()) if settings.tokens_file else None
        self._rate, self._most_streams = settings.rate_pictures, settings.caller_streams
        self._allowances: OrderedDict[str, _Allowance] = OrderedDict()
        self._streams: Counter[str] = Counter()

    def caller(self, authorization: str | None, host: str, now: float) -> str:
        """Who calls, from the value of an `authorization` header.

        Raises:
            AccessDenied: if the server wants a token, and this is none of its own.
        """
        return self._tokens.name(authorization, now) if self._tokens else host

    def spend(self, caller: str, now: float) -> None:
        """Takes one picture from the caller's allowance.

        Raises:
            AccessDenied: if the caller has no token any more.
            ServerOverloaded: if nothing of it is left.
        """
        if self._tokens:
            self._tokens.check(caller, now)
        if not self._rate:
            return
        full = max(1.0, self._rate)
        allowance = self._allowances.setdefault(caller, _Allowance(full, now))
        self._allowances.move_to_end(caller)
        if len(self._allowances) > CALLERS_KEPT:
            self._allowances.popitem(last=False)
        allowance.pictures = min(full, allowance.pictures + (now - allowance.since) * self._rate)
        allowance.since = now
        if allowance.pictures < 1:
            wait = (1 - allowance.pictures) / self._rate
            raise ServerOverloaded(f"{caller} may send {self._rate:g} pictures a second; send fewer.", wait)
        allowance.pictures -= 1

    def begin_stream(self, caller: str) -> None:
        """Counts a stream of the caller, until `end_stream`.

        Raises:
            ServerOverloaded: if there are too many.
        """
        if self._streams[caller] >= self._most_streams:
            raise ServerOverloaded(f"{caller} has {self._most_streams} streams open; close one.")
        self._streams[caller] += 1

    def end_stream(self, caller: str) -> None:
        """One of the caller's streams has ended."""
        self._streams[caller] -= 1
        if not self._streams[caller]:
            del self._streams[caller]
