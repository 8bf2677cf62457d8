"""One server's callers: who they are, the rate of their pictures, and how many streams and pages they have open."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from inference_server.access.forwarded_certificates import subject_of
from inference_server.access.proxies import Sender
from inference_server.access.strangers import Strangers
from inference_server.access.tokens import Caller, Tokens
from inference_server.access.turns import Turns
from inference_server.settings import Settings
from wire.exceptions import AccessDenied, ServerOverloaded

CALLERS_KEPT = 10_000
"""Callers whose rate is remembered; the one unseen for longest is forgotten first."""


@dataclass
class _Allowance:
    """A token bucket that holds one second's worth."""

    pictures: float
    since: float


class Access:
    """Callers by the names of their tokens, or, without tokens, by certificates, or the hosts they come from.

    Times are the monotonic clock's, in seconds.
    """

    def __init__(self, settings: Settings) -> None:
        self._tokens = Tokens(settings.tokens_file, time.monotonic()) if settings.tokens_file else None
        self._strangers = Strangers(settings.stranger_requests)
        self.turns = Turns(settings.caller_share)
        self._rate, self._most_streams = settings.rate_pictures, settings.caller_streams
        self._most_viewers, self._viewers_of_caller = settings.viewers, settings.caller_viewers
        self._allowances: OrderedDict[str, _Allowance] = OrderedDict()
        self._streams: Counter[str] = Counter()
        self._viewers: Counter[str] = Counter()

    def caller(self, sender: Sender, now: float) -> Caller:
        """Who calls: by its token where the server wants one, else by the certificate that a proxy names, or its host.

        Raises:
            AccessDenied: if the server wants a token, and this is none of its own; or a proxy names no certificate.
        """
        if self._tokens:
            return self._tokens.caller(sender.authorization, now)
        return Caller(subject_of(sender.certificate) if sender.certificate else network_of(sender.host))

    def wait(self, sender: Sender, now: float) -> float:
        """Seconds for which a request waits: none with a token of ours, or where none is wanted."""
        if not self._tokens:
            return 0.0
        try:
            self._tokens.caller(sender.authorization, now)
        except AccessDenied:
            return self._strangers.wait(network_of(sender.host), now)
        return 0.0

    def check(self, caller: Caller, now: float) -> None:
        """Raises AccessDenied if the caller's token is no longer there."""
        if self._tokens:
            self._tokens.check(caller, now)

    def changes(self, now: float) -> int:
        """How often tokens have come or gone."""
        if not self._tokens:
            return 0
        self._tokens.read_again(now)
        return self._tokens.changes

    def spend(self, caller: Caller, now: float) -> None:
        """Takes one picture from the caller's allowance.

        Raises:
            AccessDenied: if the caller's token is no longer there.
            ServerOverloaded: if nothing of it is left.
        """
        self.check(caller, now)
        self.turns.presence.sent_picture(caller.name, now)
        if not self._rate:
            return
        full = max(1.0, self._rate)
        allowance = self._allowances.setdefault(caller.name, _Allowance(full, now))
        self._allowances.move_to_end(caller.name)
        if len(self._allowances) > CALLERS_KEPT:
            self._allowances.popitem(last=False)
        allowance.pictures = min(full, allowance.pictures + (now - allowance.since) * self._rate)
        allowance.since = now
        if allowance.pictures < 1:
            wait = (1 - allowance.pictures) / self._rate
            raise ServerOverloaded(f"{caller.name} may send {self._rate:g} pictures a second; send fewer.", wait)
        allowance.pictures -= 1

    def begin_stream(self, caller: Caller) -> None:
        """Counts a stream of the caller, until `end_stream`.

        Raises:
            ServerOverloaded: if there are too many.
        """
        if self._streams[caller.name] >= self._most_streams:
            raise ServerOverloaded(f"{caller.name} has {self._most_streams} streams open; close one.")
        self._streams[caller.name] += 1

    def end_stream(self, caller: Caller) -> None:
        """One of the caller's streams has ended."""
        _give_back(self._streams, caller.name)

    def may_view(self, caller: Caller) -> None:
        """Raises ServerOverloaded if too many pages are open, of the caller's or in all."""
        if self._viewers[caller.name] >= self._viewers_of_caller:
            raise ServerOverloaded(f"{caller.name} has {self._viewers_of_caller} pages open; close one.")
        if self._viewers.total() >= self._most_viewers:
            raise ServerOverloaded(f"{self._most_viewers} viewers are watching already; try again later.")

    @contextmanager
    def viewing(self, caller: Caller) -> Iterator[None]:
        """Counts an open page of the caller's.

        Raises:
            ServerOverloaded: as `may_view` does.
        """
        self.may_view(caller)
        self._viewers[caller.name] += 1
        try:
            yield
        finally:
            _give_back(self._viewers, caller.name)


def network_of(host: str) -> str:
    """A host's name among callers: of IPv6 the first half of the address, since whoever has one has all of the rest."""
    try:
        address = ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return host
    if not isinstance(address, IPv6Address) or address.is_loopback:
        return str(address)
    return str(address.ipv4_mapped or ip_network((address, 64), strict=False))


def _give_back(counted: Counter[str], name: str) -> None:
    counted[name] -= 1
    if not counted[name]:
        del counted[name]
