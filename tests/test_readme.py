"""What the README says is so: its commands run, its table is what the manifests say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT
from wire.artifact import load_artifact

README = (ROOT / "README.md").read_text()
SHELL = [line for block in re.findall(r"```sh\n(.*?)```", README, re.S) for line in block.splitlines()]
SERVE = next(line for line in SHELL if line.startswith("artoveq serve"))


def run(line: str) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", line], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def served() -> Iterator[None]:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with subprocess.Popen(SERVE.split(), cwd=ROOT, env=environment) as process:
        for _ in range(300):
            try:
                if httpx.get("http://localhost:8080/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        yield
        process.terminate()


@pytest.mark.parametrize("line", [x for x in SHELL if x.startswith("artoveq classify")])
@pytest.mark.usefixtures("served")
def test_classify_lines(line: str) -> None:
    assert "dingo" in run(line)


@pytest.mark.parametrize("line", [x for x in SHELL if x.startswith("curl")])
@pytest.mark.usefixtures("served")
def test_curl_lines(line: str) -> None:
    assert '"name":"dingo"' in run(line)


@pytest.mark.usefixtures("served")
def test_the_python_block() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README, re.S)
    assert run(f"{sys.executable} - <<'END'\n{block}END").split()[0] == "dingo"


def test_the_two_commands_are_the_ones_that_ci_and_the_demo_test_run() -> None:
    assert SHELL[:2] == [
        "pip install uv && uv run --extra server artoveq demo",
        "pip install uv && scripts/check",
    ]
    assert "scripts/check" in (ROOT / ".ci" / "run").read_text()


def table_rows() -> list[str]:
    rows = []
    for folder in sorted((ROOT / "models").iterdir()):
        manifest = load_artifact(folder).manifest
        figures = [f"{100 * row.top1:.1f}" for row in manifest.levels]
        mean = sum(row.top1 for row in manifest.levels) / len(manifest.levels)
        unquantised, minutes = f"{100 * manifest.unquantised_top1:.1f}", f"{manifest.recipe['minutes']:.0f}"
        rows.append("| " + " | ".join([manifest.name, minutes, unquantised, *figures, f"{100 * mean:.1f}"]) + " |")
        rows.append("| *bytes* | | | " + " | ".join(f"{row.payload_bytes:.0f}" for row in manifest.levels) + " | |")
    return rows


def test_the_table_is_what_the_manifests_say() -> None:
    for row in table_rows():
        assert row in README
