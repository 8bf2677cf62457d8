"""A spool that something else has written in: rows of its table, or bytes of its file.

Of rows, each value has a byte for its kind, one for its length, and its bytes. Each row is a picture or is set aside,
and none stops those behind it. Of the file, each change has its place in two bytes, its length, and its bytes: then
the spool works, or says why not.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import tempfile
from pathlib import Path
from typing import Any

from edge_client.spool import COLUMNS, Spool
from tests.fuzz import Cursor
from wire.exceptions import SpoolError

FINGERPRINT = "0" * 64
CONTEXT = {"frame": 1}
MOST = 100


def check(data: bytes) -> None:
    given = Cursor(data)
    if given.number() & 1:
        _check_file(given)
    else:
        _check_rows(given)


def _check_rows(given: Cursor) -> None:
    spool = Spool(Path(":memory:"), MOST)
    while given and len(spool) < MOST // 2:
        values = [_value(given) for _ in COLUMNS.split(", ")]
        try:
            spool._db.execute(f"INSERT OR IGNORE INTO pictures ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        except (sqlite3.Error, OverflowError, UnicodeError):  # no row
            continue
    rows = len(spool)
    read = _emptied(spool)
    ((aside,),) = spool._db.execute("SELECT count(*) FROM set_aside").fetchall()
    assert read + aside == rows and len(spool) == 0
    spool.keep(FINGERPRINT, 1, b"planes", True, CONTEXT)
    kept = spool.newest()
    assert kept is not None and kept.data == b"planes" and kept.context == CONTEXT
    spool.close()


def _check_file(given: Cursor) -> None:
    file = bytearray(TEMPLATE)
    while given:
        at, length = given.number(2) % len(file), given.number()
        patch = given.take(length)
        file[at : at + len(patch)] = patch
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        path = Path(folder) / "spool"
        path.write_bytes(file)
        try:
            spool = Spool(path, MOST)
        except SpoolError:
            return
        try:
            _emptied(spool)
            spool.keep(FINGERPRINT, 1, b"planes", True, CONTEXT)
            spool.taken(Path("/folder"))
        except SpoolError:
            pass
        finally:
            spool.close()


def _emptied(spool: Spool) -> int:
    """How many pictures are read until there is none."""
    read = 0
    while (kept := spool.newest()) is not None:
        assert isinstance(kept.context, dict) and isinstance(kept.data, bytes) and (kept.data or kept.picture)
        spool.forget(kept)
        read += 1
        assert read <= 2 * MOST
    return read


def _value(given: Cursor) -> Any:
    kind, raw = given.number() % 5, given.take(given.number())
    if kind == 0:
        return None
    if kind == 1:
        return int.from_bytes(raw, "little", signed=True)
    if kind == 2:
        return struct.unpack("<d", raw[:8].ljust(8, b"\0"))[0]
    return raw.decode(errors="surrogateescape") if kind == 3 else raw


def _template() -> bytes:
    """A spool's file with two pictures in it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spool"
        spool = Spool(path, MOST)
        spool._db.execute("PRAGMA page_size = 512")
        for picture in (None, b"RIFF"):
            spool.keep(FINGERPRINT, 1, b"planes", True, CONTEXT, picture=picture, key=b"k" if picture else b"K")
        spool.close()
        return path.read_bytes()


TEMPLATE = _template()
