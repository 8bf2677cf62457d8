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
