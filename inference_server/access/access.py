"""Who may use the server, and how much: bearer tokens from a file, a rate and a number of streams for each caller."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass
from pathlib import Path

from inference_server.settings import Settings
from wire.exceptions import AccessDenied, ServerOverloaded, SettingsError

log = logging.getLogger(__name__)

CALLERS_KEPT = 10_000
"""Callers whose rate is remembered; the one unseen for longest is forgotten first."""
SHORTEST_TOKEN = 16
READ_AGAIN_S = 1.0
"""How often the tokens file is looked at."""
SCHEME = "bearer "


def read_tokens(path: Path) -> dict[bytes, str]:
    """Names by the SHA-256 of their tokens, from lines of NAME:TOKEN; # begins a comment.

    Only hashes are kept, so that no log, trace or dump of this process holds a token.

    Raises:
        SettingsError: if the file cannot be read, or has a line of another form; never quoting the line.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The tokens file {path} cannot be read ({error}).") from error
    found: dict[bytes, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, _, token = (part.strip() for part in line.partition(":"))
        if not name or len(token) < SHORTEST_TOKEN:
            raise SettingsError(
                f"Line {number} of {path} is not NAME:TOKEN with a token of {SHORTEST_TOKEN} characters or more; "
                "`openssl rand -hex 24` makes one."
            )
        found[_digest(token)] = name
    if not found:
        raise SettingsError(f"The tokens file {path} has no token in it, so nobody could use the server.")
    return found


def _version(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


@dataclass
class _Allowance:
    """A token bucket that holds one second's worth."""

    level: float
    since: float


class Access:
    """One server's callers: the names of their tokens, or, without tokens, the hosts they come from."""

    def __init__(self, settings: Settings) -> None:
        self._file, self._read_at = settings.tokens_file, time.monotonic()
        self._version = _version(self._file) if self._file else 0
        self._tokens = read_tokens(self._file) if self._file else None
        self._names = set(self._tokens.values()) if self._tokens else set()
        self._rate, self._most_streams = settings.rate_pictures, settings.caller_streams
        self._allowances: OrderedDict[str, _Allowance] = OrderedDict()
        self._streams: Counter[str] = Counter()

    def caller(self, authorization: str | None, host: str) -> str:
        """Who calls, from the value of an `authorization` header.

        Raises:
            AccessDenied: if the server wants a token, and this is none of its own.
        """
        if self._tokens is None:
            return host
        self._read_again()
        if authorization is None or not authorization.lower().startswith(SCHEME):
            raise AccessDenied("This server wants a token; send it as `authorization: Bearer TOKEN`.")
        name = self._tokens.get(_digest(authorization[len(SCHEME) :].strip()))
        if name is None:
            raise AccessDenied("This server does not know the token; ask whoever runs it for one.")
        return name

    def _read_again(self) -> None:
        """Takes over a tokens file that has changed; one with a fault in it is not, and the log says so."""
        now = time.monotonic()
        if self._file is None or now < self._read_at + READ_AGAIN_S:
            return
        self._read_at = now
        version = _version(self._file)
        if version == self._version:
            return
        self._version = version
        try:
            self._tokens = read_tokens(self._file)
            self._names = set(self._tokens.values())
        except SettingsError as error:
            log.warning("The tokens stay as they were: %s", error)
        else:
            log.info("The tokens file has changed; it has %d tokens now.", len(self._tokens))

    def spend(self, caller: str, now: float | None = None) -> None:
        """Takes one picture from the caller's allowance.

        Raises:
            AccessDenied: if the caller has no token any more; a stream may be older than the file.
            ServerOverloaded: if nothing of it is left.
        """
        self._read_again()
        if self._tokens is not None and caller not in self._names:
            raise AccessDenied(f"The server no longer has a token of {caller}; ask whoever runs it for one.")
        if not self._rate:
            return
        now, full = time.monotonic() if now is None else now, max(1.0, self._rate)
        allowance = self._allowances.setdefault(caller, _Allowance(full, now))
        self._allowances.move_to_end(caller)
        if len(self._allowances) > CALLERS_KEPT:
            self._allowances.popitem(last=False)
        allowance.level = min(full, allowance.level + (now - allowance.since) * self._rate)
        allowance.since = now
        if allowance.level < 1:
            raise ServerOverloaded(f"{caller} may send {self._rate:g} pictures a second; send fewer.")
        allowance.level -= 1

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


def host_of(peer: str) -> str:
    """The host of a gRPC peer such as "ipv4:10.0.0.7:50123"."""
    return peer.partition(":")[2].rpartition(":")[0] or peer
