"""Bearer tokens, from a file that may change while the server runs."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from wire.exceptions import AccessDenied, SettingsError

log = logging.getLogger(__name__)

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


class Tokens:
    """The names of the tokens in a file. Times are the monotonic clock's, in seconds."""

    def __init__(self, path: Path, now: float) -> None:
        self._path, self._read_at, self._version = path, now, _version(path)
        self._names_of = read_tokens(path)
        self._names = set(self._names_of.values())

    def name(self, authorization: str | None, now: float) -> str:
        """Who has the token, from the value of an `authorization` header.

        Raises:
            AccessDenied: if there is none, or nobody has it.
        """
        self._read_again(now)
        if authorization is None or not authorization.lower().startswith(SCHEME):
            raise AccessDenied("This server wants a token; send it as `authorization: Bearer TOKEN`.")
        name = self._names_of.get(_digest(authorization[len(SCHEME) :].strip()))
        if name is None:
            raise AccessDenied("This server does not know the token; ask whoever runs it for one.")
        return name

    def check(self, name: str, now: float) -> None:
        """Raises AccessDenied if the name has no token any more; a stream may be older than the file."""
        self._read_again(now)
        if name not in self._names:
            raise AccessDenied(f"The server no longer has a token of {name}; ask whoever runs it for one.")

    def _read_again(self, now: float) -> None:
        """Takes over a file that has changed; one with a fault in it is not, and the log says so."""
        if now < self._read_at + READ_AGAIN_S:
            return
        self._read_at = now
        version = _version(self._path)
        if version == self._version:
            return
        self._version = version
        try:
            self._names_of = read_tokens(self._path)
        except SettingsError as error:
            log.warning("The tokens stay as they were: %s", error)
            return
        self._names = set(self._names_of.values())
        log.info("The tokens file has changed; it has %d tokens now.", len(self._names_of))


def _version(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
