"""What the benchmarks' commands share."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from wire.exceptions import ArtoveqError

SHIPPED = Path("models/imagewoof64-compact-progressive")
NESTED = Path("models/imagewoof64-compact-nested")


def run(app: typer.Typer) -> None:
    """Runs the command; an expected error is one sentence on standard error and exit code 1."""
    try:
        app()
    except ArtoveqError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
