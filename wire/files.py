"""Files that others name: a path may lead to a pipe or a device, which have no end."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def plain_file(path: Path, flags: int = 0) -> Iterator[tuple[BinaryIO, int] | None]:
    """A file and its bytes' number; None where it is no plain one. flags: of the operating system, beside ours.

    Raises:
        OSError: if it cannot be opened.
    """
    # Not to wait for a writer, should it be a pipe.
    with open(os.open(path, flags | os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        status = os.fstat(file.fileno())
        yield (file, status.st_size) if stat.S_ISREG(status.st_mode) else None


def write_synced(path: Path, data: bytes) -> None:
    """A file whose bytes are on the disk when this returns; its name is, once `sync_folder` has been called.

    Raises:
        OSError: if it cannot be written.
    """
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Names of files are the folder's data, and reach the disk with it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_synced(path: Path, data: bytes) -> None:
    """The new bytes in place of a file's, or the old ones, whatever happens in between.

    Raises:
        OSError: if it cannot be written.
    """
    fresh = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        write_synced(fresh, data)
        os.replace(fresh, path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
