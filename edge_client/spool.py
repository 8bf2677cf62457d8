"""Pictures that wait on the disk for a server: a bounded queue in SQLite, newest first."""

from __future__ import annotations

import json
import secrets
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wire.exceptions import SpoolError

KEY_BYTES = 16
VERSION = 2
"""Of the file's form."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS pictures (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    key BLOB NOT NULL UNIQUE,
    fingerprint TEXT NOT NULL,
    point INTEGER NOT NULL,
    data BLOB NOT NULL,
    packed INTEGER NOT NULL,
    context TEXT NOT NULL
)
"""


@dataclass(frozen=True)
class Kept:
    """A picture as it was encoded: the block of a point (`wire.payload`), for the model of a fingerprint.

    key: names it to the server, so that sending it again does no harm. context: the caller's, as JSON values.
    """

    fingerprint: str
    point: int
    data: bytes
    packed: bool
    context: dict[str, Any]
    key: bytes


class Spool:
    """At most `most` pictures in a file; it survives the process, and a power cut.

    Raises:
        SpoolError: here and from every method, if the disk does not take part.
    """

    def __init__(self, path: Path, most: int) -> None:
        self._path, self._most = path, most
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            self._run("PRAGMA journal_mode = WAL")
            self._run("PRAGMA synchronous = FULL")
            self._check_version()
            self._run(SCHEMA)
            self._run(f"PRAGMA user_version = {VERSION}")
        except sqlite3.Error as error:
            raise self._fault(error) from error

    def _check_version(self) -> None:
        """Older files hold planes of models of format 1, which no server of this version serves."""
        ((version,),) = self._run("PRAGMA user_version")
        ((tables,),) = self._run("SELECT count(*) FROM sqlite_master WHERE name = 'pictures'")
        if tables and version != VERSION:
            raise SpoolError(
                f"The spool {self._path} was written by another version of artoveq; deliver its pictures with that "
                "one, or name another file."
            )

    def __len__(self) -> int:
        (count,) = self._run("SELECT count(*) FROM pictures")[0]
        return int(count)

    def keep(self, fingerprint: str, point: int, data: bytes, packed: bool, context: dict[str, Any]) -> list[Kept]:
        """Puts a picture last. Where it is one too many the oldest go, and are returned."""
        values = (secrets.token_bytes(KEY_BYTES), fingerprint, point, data, packed, json.dumps(context))
        self._run(f"INSERT INTO pictures ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", *values)
        gone = [
            self._kept(row) for row in self._run(f"{SELECT} ORDER BY number LIMIT max(0, ?)", len(self) - self._most)
        ]
        for old in gone:
            self.forget(old)
        return gone

    def newest(self) -> Kept | None:
        """The picture that was put in last; it stays until it is forgotten."""
        rows = self._run(f"{SELECT} ORDER BY number DESC LIMIT 1")
        return self._kept(rows[0]) if rows else None

    def forget(self, kept: Kept) -> None:
        """Takes a picture out: it was answered, or given up."""
        self._run("DELETE FROM pictures WHERE key = ?", kept.key)

    def close(self) -> None:
        """What is in it stays on the disk."""
        self._db.close()

    def _kept(self, row: tuple[Any, ...]) -> Kept:
        key, fingerprint, point, data, packed, context = row
        return Kept(fingerprint, point, data, bool(packed), json.loads(context), key)

    def _run(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._fault(error) from error

    def _fault(self, error: sqlite3.Error) -> SpoolError:
        return SpoolError(f"The spool {self._path} cannot be used ({error}); free some space, or name another file.")


COLUMNS = "key, fingerprint, point, data, packed, context"
SELECT = f"SELECT {COLUMNS} FROM pictures"
