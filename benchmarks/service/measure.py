"""What the benchmarks of the service share."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
"""Where Debian puts it."""


def variables(**values: float | str | Path) -> dict[str, str]:
    """The environment's, for these settings of a server."""
    return {f"ARTOVEQ_{name.upper()}": str(value) for name, value in values.items()}


@contextlib.contextmanager
def settings(**values: float | str | Path) -> Iterator[None]:
    """Of the servers that are started within."""
    names = variables(**values)
    os.environ.update(names)
    try:
        yield
    finally:
        for name in names:
            del os.environ[name]


def resident_mib(process: int) -> float:
    """Memory that a process holds."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


@contextlib.contextmanager
def disk_of(size: int) -> Iterator[None]:
    """A disk that is full once a file of ours reaches so many bytes: the kernel refuses the write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
