"""Completion, as a person installs and uses it: in a real shell, with its Tab key."""

from __future__ import annotations

import os
import pty
import re
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # it starts shells, and the command at every Tab
PATIENCE_S = 120


class Shell:
    """An interactive shell on a terminal of its own."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal

    def types(self, keys: str, *, until: str) -> str:
        """What the terminal shows from now on, until it matches."""
        os.write(self._terminal, keys.encode())
        shown, ends = "", time.monotonic() + PATIENCE_S
        while not re.search(until, shown):
            if not select.select([self._terminal], [], [], max(0.0, ends - time.monotonic()))[0]:
                raise AssertionError(f"{until!r} did not come behind {keys!r}, but {shown!r}")
            shown += os.read(self._terminal, 65536).decode(errors="replace")
        return shown


@contextmanager
def shell(name: str, home: Path) -> Iterator[Shell]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {"HOME": str(home), "PATH": path, "TERM": "xterm", "COLUMNS": "200", "LANG": "C.UTF-8"}
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(home)
        os.execvpe(name, [name, "-i"], environment)
    try:
        yield Shell(terminal)
    finally:
        os.close(terminal)  # which hangs up on it
        os.waitpid(child, 0)


def test_tab_completes_commands_and_options_in_bash(tmp_path: Path) -> None:
    with shell("bash", tmp_path) as first:
        first.types("artoveq --install-completion\r", until="completion installed in")
    with shell("bash", tmp_path) as next_one:
        next_one.types("artoveq class\t", until="artoveq classify ")
        next_one.types("--serv\t", until="--server ")
        next_one.types("\x15artoveq wa\t", until="artoveq watch ")
