"""python -m benchmarks.service: figures as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False)
Model = Annotated[Path, typer.Option(help="Folder of the artifact.")]
SHIPPED = Path("models/imagewoof64-compact-progressive")


@app.callback()
def service() -> None:
    """What the server stands."""


@app.command()
def hostile(
    model: Model = SHIPPED,
    messages: Annotated[int, typer.Option(min=1, help="How many are sent.")] = 200_000,
    seed: int = 0,
) -> None:
    """Messages of every wrong kind, and garbage on both ports: no crash, no fault in the log, no growth."""
    from benchmarks.service.hostile import hostile as run

    found = asyncio.run(run(model, messages, seed))
    print(json.dumps(found, indent=1))
    sys.exit(0 if found["passed"] else 1)


if __name__ == "__main__":
    app()
