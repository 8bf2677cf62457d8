"""Bearer tokens, from a file that may change while the server runs."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from pathlib import Path

from inference_server.access.contents import READ_AGAIN_S, contents
from wire.exceptions import AccessDenied, SettingsError

log = logging.getLogger(__name__)

SHORTEST_TOKEN = 16
SCHEME = "bearer "


@dataclass(frozen=True)
class Caller:
    """Who calls: the name that limits and logs go by, and the SHA-256 of its token, empty where there are none."""

    name: str
    credential: bytes = field(default=b"", repr=False)


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
        self._path, self._read_at, self._contents = path, now, contents(path)
        self._names_of = read_tokens(path)
        if path.stat().st_mode & 0o077:
            log.warning("Others on this machine may read the tokens in %s; run `chmod 600 %s`.", path, path)
        self.changes = 0
        """How often others have come in place of the tokens."""

    def caller(self, authorization: str | None, now: float) -> Caller:
        """Who has the token, from the value of an `authorization` header.

        Raises:
            AccessDenied: if there is none, or nobody has it.
        """
        self.read_again(now)
        if authorization is None or not authorization.lower().startswith(SCHEME):
            raise AccessDenied("This server wants a token; send it as `authorization: Bearer TOKEN`.")
        credential = _digest(authorization[len(SCHEME) :].strip())
        name = self._names_of.get(credential)
        if name is None:
            raise AccessDenied("This server does not know the token; ask whoever runs it for one.")
        return Caller(name, credential)

    def check(self, caller: Caller, now: float) -> None:
        """Raises AccessDenied if the caller's token is no longer there; a stream may be older than the file."""
        self.read_again(now)
        if self._names_of.get(caller.credential) != caller.name:
            raise AccessDenied(f"The server no longer has this token of {caller.name}; ask whoever runs it for one.")

    def read_again(self, now: float) -> None:
        """Takes over a file that has changed; one with a fault in it is not, and the log says so."""
        if now < self._read_at + READ_AGAIN_S:
            return
        self._read_at = now
        found = contents(self._path)
        if found == self._contents:
            return
        self._contents = found
        try:
            self._names_of = read_tokens(self._path)
        except SettingsError as error:
            log.warning("The tokens stay as they were: %s", error)
            return
        self.changes += 1
        log.info("The tokens file has changed; it has %d tokens now.", len(self._names_of))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
