"""python -m benchmarks.edge: figures as JSON."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False)
Model = Annotated[Path, typer.Option(help="Folder of the artifact.")]
SHIPPED = Path("models/imagewoof64-compact-progressive")


@app.command()
def cost(model: Model = SHIPPED) -> None:
    """Encoder time and memory on one core, beside the whole network's."""
    from benchmarks.edge.cost import cost as measure

    print(json.dumps(measure(model), indent=1))


@app.command()
def watch(model: Model = SHIPPED, seconds: float = 60, kbit: float = 64) -> None:
    """`artoveq watch` on a video at 30 frames a second over a narrow link."""
    from benchmarks.edge.watching import watching

    print(json.dumps(asyncio.run(watching(model, seconds, kbit)), indent=1))


if __name__ == "__main__":
    app()
