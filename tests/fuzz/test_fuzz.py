"""What was found once stays mended, and a few seconds of each target find nothing new."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.fuzz import CORPUS, TARGETS

KEPT = 16 * 1024
"""Bytes of a target's corpus in the repository."""


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_holds(target: str) -> None:
    check = importlib.import_module(f"tests.fuzz.{target}").check
    files = [file.read_bytes() for file in sorted((CORPUS / target).iterdir())]
    assert files and sum(map(len, files)) <= KEPT
    for data in files:
        check(data)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_a_few_seconds_find_nothing(target: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="Atheris has no build for this Python.")
    # By a shell that forks: what this process starts at once counts its peak of memory as its own.
    by_shell = ["sh", "-c", '"$@"; exit $?', "sh"]
    command = [*by_shell, sys.executable, "-m", "tests.fuzz", target, "--minutes", "0.08"]
    ran = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True)
    assert ran.returncode == 0, ran.stderr.decode(errors="replace")[-4000:]
    assert b"\nDone " in ran.stderr
