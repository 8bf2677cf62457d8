"""How commands end that would go on: SIGTERM ends them and what they have started, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from artoveq.processes import ServerProcess
from tests.conftest import MODEL

pytestmark = pytest.mark.slow  # real processes, which are looked for afterwards


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """What is started in the background of a shell ignores SIGINT, and so would what the tests start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def group(number: int) -> set[int]:
    """Processes of one test, by the environment that they share."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"ARTOVEQ_CACHE={Path.cwd()}/{number}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.add(int(process.name))
        except OSError:
            continue
    return found


def left(number: int, count: int) -> bool:
    """Whether so many processes of the test are there soon."""
    until = time.monotonic() + 20
    while len(group(number)) != count and time.monotonic() < until:
        time.sleep(0.1)
    return len(group(number)) == count


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_every_process_of_the_demo(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {**os.environ, "ARTOVEQ_CACHE": f"{tmp_path}/{int(number)}"}
    command = [sys.executable, "-u", "-m", "artoveq", "demo", "--model", str(MODEL), "--length", "60s"]
    demo = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert demo.stdout is not None and demo.stderr is not None
    assert any(" of 150 ms " in line for line in demo.stdout)  # a picture was answered
    assert left(number, 3)  # a process that has just been forked for a moment is none of the three
    demo.send_signal(number)
    _, said = demo.communicate(timeout=60)
    assert left(number, 0)
    assert "Traceback" not in said and "was destroyed" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_watch_with_its_summary(number: signal.Signals, server: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes((MODEL.parents[1] / "artoveq/demo/pictures/dingo.png").read_bytes())
    command = [
        sys.executable,
        "-u",
        "-m",
        "artoveq",
        "watch",
        f"folder:{tmp_path}",
        "--existing",
        "--server",
        server.address,
    ]
    watching = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert watching.stdout is not None and "dingo" in watching.stdout.readline()
    watching.send_signal(number)
    _, said = watching.communicate(timeout=60)
    assert watching.returncode == 0 and "s: 1 answered, " in said
    assert "Traceback" not in said and "was destroyed" not in said
