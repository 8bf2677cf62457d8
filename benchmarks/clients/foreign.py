"""The programs in clients/, as commands."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime

from benchmarks.results import ROOT

FOLDER = ROOT / "clients"
COMMANDS: dict[str, list[str]] = {
    "node": ["node", str(FOLDER / "node" / "main.js")],
    "cpp": [str(FOLDER / "cpp" / "build" / "artoveq")],
}


def library() -> Path:
    """ONNX Runtime's shared library, of its Python package."""
    (found,) = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so*")
    return found


def build() -> None:
    """Makes what is compiled."""
    subprocess.run(["make", "--silent", "-j2", "-C", str(FOLDER / "cpp")], check=True)


def run(client: str, *words: str) -> str:
    """What a client prints."""
    environment = {**os.environ, "ONNXRUNTIME": str(library())}
    return subprocess.run(
        [*COMMANDS[client], *words], check=True, stdout=subprocess.PIPE, text=True, env=environment
    ).stdout


def classify(
    client: str, address: str, files: Sequence[Path], *, point: int = 0, runs: int = 0
) -> list[dict[str, Any]]:
    """A client's answers about pictures' files, in their order.

    point: 0 is the best one. runs: 0 sends blocks, else planes in so many messages.
    """
    printed = run(client, "classify", address, str(point), str(runs), *map(str, files))
    answers = {answer["file"]: answer for answer in map(json.loads, printed.splitlines())}
    return [answers[str(file)] for file in files]
