"""python -m benchmarks.accuracy: tables and plots from committed results, and the runs behind them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.command()
def rerun(
    rows: Annotated[list[str], typer.Argument(help="PROFILE/VARIANT/SEED, for example imagewoof64-compact/nested/0")],
    data: Annotated[str, typer.Option(help="imagewoof:DIR or cifar100:DIR")],
    weights: Annotated[Path | None, typer.Option(help="ImageNet weights; fetched if left out.")] = None,
    runs: Annotated[Path, typer.Option(help="Where checkpoints are kept.")] = Path("runs"),
) -> None:
    """Train rows, or go on where they stopped, and write their figures to results/."""
    from benchmarks.accuracy import rerun as training
    from training.data import load_split

    split, test = load_split(data, "train"), load_split(data, "test")
    training.rerun(rows, split, test, runs, str(weights) if weights else None)


if __name__ == "__main__":
    app()
