"""python -m benchmarks.service: figures as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated, Any

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

    _tell(asyncio.run(run(model, messages, seed)))


@app.command()
def throughput(
    model: Model = SHIPPED,
    streams: Annotated[int, typer.Option(min=1)] = 64,
    batch: Annotated[int, typer.Option(min=1, help="Pictures in a batch.")] = 32,
) -> None:
    """Pictures a second at saturation, beside the bare decoder; queueing at half load under two batch windows."""
    from benchmarks.service.throughput import throughput as run

    _tell(asyncio.run(run(model, streams, batch, (1.0, 5.0))))


def _tell(found: dict[str, Any]) -> None:
    print(json.dumps(found, indent=1))
    sys.exit(0 if found["passed"] else 1)


if __name__ == "__main__":
    app()
