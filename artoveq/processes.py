"""Processes: how ours end, and a real server in one of its own, for the demo, the evaluation and the tests."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import subprocess
import sys
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from wire.exceptions import ServerError

STOP_SECONDS = 30
SIGNALS = (signal.SIGTERM, signal.SIGINT)
_PORTS = re.compile(r"gRPC on \S*:(\d+), page and REST on \S*:(\d+)/")


def run_until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Runs it to its end, or until SIGTERM or SIGINT; then it is cancelled, and closes what it has opened."""

    async def run() -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        with contextlib.suppress(NotImplementedError):  # Windows knows no such handlers
            for number in SIGNALS:
                loop.add_signal_handler(number, task.cancel)
        await work

    with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
        asyncio.run(run())


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM unwinds what is inside, as SIGINT does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@dataclass
class ServerProcess:
    """A started `artoveq serve` on loopback."""

    process: subprocess.Popen[str]
    port: int
    http_port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


def serve_command(model: Path, host: str = "127.0.0.1", port: int = 0) -> list[str]:
    """`artoveq serve`; port: of gRPC, 0 takes a free one, as REST does."""
    command = [sys.executable, "-m", "artoveq", "serve", "--model", str(model), "--host", host]
    return [*command, "--port", str(port), "--http-port", "0"]


@contextlib.contextmanager
def server_process(
    model: Path,
    *options: str,
    stderr: IO[str] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[ServerProcess]:
    """Starts `artoveq serve` on free ports and stops it again.

    stderr: takes its log, in place of ours. env: its environment, in place of ours. cwd: where it runs.

    Raises:
        ServerError: with what the server said, if it does not start.
    """
    command = [*serve_command(model), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, env=env, cwd=cwd, text=True)
    assert process.stdout is not None
    try:
        found = _PORTS.search(process.stdout.readline())
        if found is None:
            raise ServerError(
                f"The server did not start (exit code {process.wait(STOP_SECONDS)}); see its message above."
            )
        yield ServerProcess(process, int(found[1]), int(found[2]))
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
