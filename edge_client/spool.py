"""Pictures that wait on the disk for a server: a bounded queue in SQLite, newest first.

What cannot be read, or will never be answered, is moved to the table `set_aside`, and the log says so. The table
`taken` holds which files of a watched folder are dealt with: a picture is put in and its file ticked off at once.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from wire.exceptions import SpoolError

log = logging.getLogger(__name__)

KEY_BYTES, LONGEST_KEY = 16, 64
MOST_BYTES = 1 << 20
"""Of a picture's planes, and of the picture: what takes more was not written by us."""
FINGERPRINT = re.compile(r"[0-9a-f]{64}")
PATIENCE_S = 1.0
"""How long another process that uses the file may take to end."""
VERSION = 3
"""Of the file's form."""
SCHEMA = (
    """
CREATE TABLE IF NOT EXISTS pictures (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    key BLOB NOT NULL UNIQUE,
    fingerprint TEXT NOT NULL,
    point INTEGER NOT NULL,
    data BLOB NOT NULL,
    packed INTEGER NOT NULL,
    context TEXT NOT NULL,
    picture BLOB
)
""",
    "CREATE TABLE IF NOT EXISTS set_aside (reason, key, fingerprint, point, data, packed, context, picture)",
    "CREATE TABLE IF NOT EXISTS taken (folder BLOB, name BLOB, mark TEXT, PRIMARY KEY (folder, name)) WITHOUT ROWID",
)
COLUMNS = "key, fingerprint, point, data, packed, context, picture"
SELECT = f"SELECT number, {COLUMNS} FROM pictures"

Parts = Literal["planes", "picture", "both"]


@dataclass(frozen=True)
class Kept:
    """A picture that waits: its planes for the model of a fingerprint, the picture itself, or both.

    fingerprint, point, data, packed: the block of a point (`wire.payload`); all empty where only the picture is kept.
    context: the caller's, as JSON values. key: names it, so that nothing is answered twice. picture: a WebP file, from
    which it can be encoded for another model.
    """

    fingerprint: str
    point: int
    data: bytes
    packed: bool
    context: dict[str, Any]
    key: bytes
    picture: bytes | None = None


@dataclass(frozen=True)
class Arrival:
    """A file that came into a folder. mark: changes when another picture is written under that name."""

    folder: Path
    name: str
    mark: str


class Spool:
    """At most `most` pictures in a file; it survives the process, and a power cut. One process uses it at a time.

    parts: what `AsyncClient.keep` puts in of a picture.

    Raises:
        SpoolError: here and from every method, if the disk does not take part.
    """

    def __init__(self, path: Path, most: int, parts: Parts = "both") -> None:
        self._path, self._most, self.parts = path, most, parts
        try:
            self._db = sqlite3.connect(path, timeout=PATIENCE_S, isolation_level=None)
            self._db.text_factory = lambda text: text.decode(errors="replace")
            self._run("PRAGMA locking_mode = EXCLUSIVE")
            self._check_whole()
            self._run("PRAGMA journal_mode = WAL")
            self._run("PRAGMA synchronous = FULL")
            with self._transaction():
                self._set_up()
        except sqlite3.Error as error:
            raise self._fault(error) from error
        except SpoolError:
            self._db.close()
            raise

    def _check_whole(self) -> None:
        """From a damaged file a picture may be read that cannot be taken out, and so again and again."""
        ((found,),) = self._run("PRAGMA integrity_check(1)")
        if found != "ok":
            raise self._damage(found)

    def _set_up(self) -> None:
        ((version,),) = self._run("PRAGMA user_version")
        ((tables,),) = self._run("SELECT count(*) FROM sqlite_master WHERE name = 'pictures'")
        if tables and version == 2:
            self._run("ALTER TABLE pictures ADD COLUMN picture BLOB")
        elif tables and version != VERSION:  # version 1 holds planes of models that no server of this version serves
            raise SpoolError(
                f"The spool {self._path} was written by another version of artoveq; deliver its pictures with that "
                "one, or name another file."
            )
        for table in SCHEMA:
            self._run(table)
        self._run(f"PRAGMA user_version = {VERSION}")

    def __len__(self) -> int:
        (count,) = self._run("SELECT count(*) FROM pictures")[0]
        return int(count)

    def keep(
        self,
        fingerprint: str,
        point: int,
        data: bytes,
        packed: bool,
        context: dict[str, Any],
        *,
        picture: bytes | None = None,
        key: bytes = b"",
        arrival: Arrival | None = None,
    ) -> list[Kept]:
        """Puts a picture last. Where it is one too many the oldest go, and are returned.

        key: a new one where there is none yet. arrival: the file that is ticked off with it.
        """
        values = (key or secrets.token_bytes(KEY_BYTES), fingerprint, point, data, packed, json.dumps(context), picture)
        with self._transaction():
            self._run(f"INSERT OR IGNORE INTO pictures ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", *values)
            if arrival is not None:
                self._tick_off(arrival.folder, {arrival.name: arrival.mark})
            rows = self._run(f"{SELECT} ORDER BY number LIMIT max(0, ?)", len(self) - self._most)
            gone = [kept for row in rows if (kept := self._checked(row)) is not None]
            for kept in gone:
                self.forget(kept)
        return gone

    def newest(self) -> Kept | None:
        """The picture that was put in last; it stays until it is forgotten."""
        while rows := self._run(f"{SELECT} ORDER BY number DESC LIMIT 1"):
            if (kept := self._checked(rows[0])) is not None:
                return kept
        return None

    def forget(self, kept: Kept) -> None:
        """Takes a picture out: it was answered, or given up."""
        self._run("DELETE FROM pictures WHERE key = ?", kept.key)

    def set_aside(self, kept: Kept, reason: str) -> None:
        """Takes a picture out that will not be answered, but keeps it: for people, and in its own table."""
        for (number,) in self._run("SELECT number FROM pictures WHERE key = ?", kept.key):
            self._set_aside(number, reason)

    def taken(self, folder: Path) -> dict[str, str] | None:
        """The files of a folder that are dealt with, and their marks; None where it was never watched."""
        rows = self._run("SELECT name, mark FROM taken WHERE folder = ?", os.fsencode(folder))
        return {os.fsdecode(name): mark for name, mark in rows if name} if rows else None

    def tick_off(self, folder: Path, files: Mapping[str, str]) -> None:
        """These files of a folder are dealt with."""
        with self._transaction():
            self._tick_off(folder, files)

    def drop(self, folder: Path, names: list[str]) -> None:
        """These files are gone from the folder."""
        with self._transaction():
            for name in names:
                self._run("DELETE FROM taken WHERE folder = ? AND name = ?", os.fsencode(folder), os.fsencode(name))

    def close(self) -> None:
        """What is in it stays on the disk."""
        self._db.close()

    def _tick_off(self, folder: Path, files: Mapping[str, str]) -> None:
        for name, mark in {"": "watched", **files}.items():
            values = (os.fsencode(folder), os.fsencode(name), mark)
            self._run("INSERT OR REPLACE INTO taken VALUES (?, ?, ?)", *values)

    def _checked(self, row: tuple[Any, ...]) -> Kept | None:
        """A row as what it is; one that is none is set aside."""
        try:
            return _kept(*row[1:])
        except (ValueError, RecursionError) as error:
            self._set_aside(row[0], str(error))
        return None

    def _set_aside(self, number: int, reason: str) -> None:
        log.warning("The spool %s sets picture %d aside, into its table set_aside: %s", self._path, number, reason)
        with self._transaction():
            columns = f"?, {COLUMNS} FROM pictures WHERE number = ?"
            self._run(f"INSERT INTO set_aside (reason, {COLUMNS}) SELECT {columns}", reason, number)
            self._run("DELETE FROM pictures WHERE number = ?", number)
            oldest = "SELECT rowid FROM set_aside ORDER BY rowid DESC LIMIT -1 OFFSET ?"
            self._run(f"DELETE FROM set_aside WHERE rowid IN ({oldest})", self._most)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """All of it reaches the disk, or nothing; within another one, as a part of that."""
        if self._db.in_transaction:
            yield
            return
        self._run("BEGIN IMMEDIATE")
        try:
            yield
            self._run("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # SQLite itself goes back where the disk is full
                self._run("ROLLBACK")
            raise

    def _run(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._fault(error) from error
        except UnicodeDecodeError as error:  # what SQLite says quotes the file
            raise self._damage(str(error)) from error

    def _damage(self, found: str) -> SpoolError:
        why = " ".join(found.split())
        return SpoolError(f"The spool {self._path} is damaged ({why}); move it away, or name another file.")

    def _fault(self, error: sqlite3.Error) -> SpoolError:
        if "locked" in str(error):
            return SpoolError(
                f"The spool {self._path} is in use by another process; end that one, or name another file."
            )
        return SpoolError(f"The spool {self._path} cannot be used ({error}); free some space, or name another file.")


def _kept(
    key: object, fingerprint: object, point: object, data: object, packed: object, context: object, picture: object
) -> Kept:
    """A row, whatever the disk or somebody else has made of it.

    Raises:
        ValueError: if it is none that `Spool.keep` writes.
        RecursionError: if its context is nested without end.
    """
    if not isinstance(key, bytes) or not 1 <= len(key) <= LONGEST_KEY:
        raise ValueError("its key is none")
    if not (picture is None or (isinstance(picture, bytes) and 0 < len(picture) <= MOST_BYTES)):
        raise ValueError("its picture is no file")
    if not isinstance(data, bytes) or len(data) > MOST_BYTES or not (data or picture):
        raise ValueError("its planes are none")
    if not isinstance(fingerprint, str) or (data and not FINGERPRINT.fullmatch(fingerprint)):
        raise ValueError("its fingerprint names no model")
    if not isinstance(point, int) or not 0 <= point < 1 << 31 or packed not in (0, 1):
        raise ValueError("its operating point is none")
    found = json.loads(context) if isinstance(context, str) else None
    if not isinstance(found, dict):
        raise ValueError("its context is no JSON object")
    return Kept(fingerprint, point, data, bool(packed), found, key, picture)
