"""What the README says is so: its commands run, as they stand, but for the ports of the test's own server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from artoveq.processes import ServerProcess
from tests.conftest import MODEL, ROOT

README = (ROOT / "README.md").read_text()
SHELL = [line for block in re.findall(r"```sh\n(.*?)```", README, re.S) for line in block.splitlines()]


def run(line: str, server: ServerProcess) -> str:
    """What a command says that means a server on its usual ports."""
    if "--server" not in line:  # its default is the usual port
        line = line.replace("artoveq classify", "artoveq classify --server localhost:50051")
    line = line.replace("localhost:50051", server.address).replace("localhost:8080", f"127.0.0.1:{server.http_port}")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", line], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_python(block: str, server: ServerProcess) -> str:
    """What a program says."""
    return run(f"{sys.executable} - <<'END'\n{block}END", server)


def test_the_server_is_the_one_of_these_tests() -> None:
    assert f"artoveq serve --model {MODEL.relative_to(ROOT)}" in SHELL


@pytest.mark.slow
@pytest.mark.parametrize("line", [x for x in SHELL if x.startswith("artoveq classify")])
def test_classify_lines(line: str, server: ServerProcess) -> None:
    assert "dingo" in run(line, server)


@pytest.mark.slow
@pytest.mark.parametrize("line", [x for x in SHELL if x.startswith("curl")])
def test_curl_lines(line: str, server: ServerProcess) -> None:
    assert '"name":"dingo"' in run(line, server).replace(": ", ":")


@pytest.mark.slow
def test_the_python_block(server: ServerProcess) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README, re.S)
    assert run_python(block, server).split()[0] == "dingo"


def test_the_two_commands_are_the_ones_that_ci_and_the_demo_test_run() -> None:
    assert SHELL[:2] == [
        "pip install uv && uv run --extra server artoveq demo",
        "pip install uv && scripts/check",
    ]
    assert "scripts/check" in (ROOT / ".ci" / "run").read_text()


def test_scripts_are_named_that_exist() -> None:
    named = set(re.findall(r"\bscripts/[a-z-]+", README))
    assert {"scripts/setup", "scripts/test", "scripts/check"} <= named
    assert all(os.access(ROOT / name, os.X_OK) for name in named)
