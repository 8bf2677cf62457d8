"""python -m benchmarks.edge: figures as JSON, printed and written to results/."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.command import SHIPPED
from benchmarks.command import run as run_command
from benchmarks.results import write_results

app = typer.Typer(no_args_is_help=True, add_completion=False)
NAMES = (
    "imagewoof128-compact-progressive",
    "imagewoof112-transformer-aligned",
    "imagewoof112-vit-aligned",
    "easyvqa64-transformer-aligned",
)
MEASURED = [SHIPPED, *(Path("models", name) for name in NAMES)]
Model = Annotated[Path, typer.Option(help="Folder of the artifact.")]


@app.command()
def cost(model: Annotated[list[Path], typer.Option(help="Folder of an artifact; again for more.")] = MEASURED) -> None:
    """Multiply-adds, time and memory on one core: the edge's half, the whole network, and files of the picture."""
    from benchmarks.edge.cost import cost as measure

    sys.exit(write_results("edge", "cost", *measure(model)))


@app.command()
def watch(model: Model = SHIPPED, seconds: float = 60, kbit: float = 64) -> None:
    """`artoveq watch` on a video at 30 frames a second over a narrow link."""
    from benchmarks.edge.watching import watching

    sys.exit(write_results("edge", "watch", *asyncio.run(watching(model, seconds, kbit))))


@app.command()
def figures() -> None:
    """Draw figures/worth.svg: who answers soonest."""
    from benchmarks.edge.beside import measured
    from benchmarks.edge.figures import draw

    print(draw(measured()))


if __name__ == "__main__":
    run_command(app)
