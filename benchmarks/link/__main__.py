"""python -m benchmarks.link: figures as JSON, printed and written to results/; a table on standard error."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.command import SHIPPED
from benchmarks.command import run as run_command
from benchmarks.link import traces
from benchmarks.link.extremes import PERIOD_S, PICTURES
from benchmarks.results import Bar, read_results, write_results
from wire.exceptions import UsageError
from wire.pictures import Picture

app = typer.Typer(no_args_is_help=True, add_completion=False)
DIFFERENT = 200
PRIORITY = 20
"""Of real time, Linux's SCHED_FIFO: at 30 ms, what else a machine has to do makes two pictures in a hundred late."""


@app.command()
def deadlines(
    data: Annotated[str, typer.Option(help="imagewoof:DIR, or a folder: whose test pictures are sent.")],
    model: Path = SHIPPED,
    trace: Annotated[list[str] | None, typer.Option(help="Of " + ", ".join(traces.ALL) + "; all if left out.")] = None,
    deadline: Annotated[list[int] | None, typer.Option(help="Milliseconds; 30, 100 and 500 if left out.")] = None,
    pictures: Annotated[int, typer.Option(min=2, help="Sent along each trace.")] = traces.PICTURES,
) -> None:
    """Six traces: the bound, fixed levels, one-shot, progressive, WebP fixed and adapted."""
    from benchmarks.link.deadlines import bars
    from benchmarks.link.deadlines import deadlines as run

    budgets = [ms / 1000 for ms in deadline or (30, 100, 500)]
    _before_all_else()
    rows = run(model, *_pictures(data), trace or list(traces.ALL), budgets, pictures)
    _tell("deadlines", rows, bars(rows))


@app.command()
def kernel(
    data: Annotated[str, typer.Option(help="imagewoof:DIR, or a folder: whose test pictures are sent.")],
    model: Path = SHIPPED,
    trace: Annotated[list[str] | None, typer.Option(help="Of " + ", ".join(traces.ALL) + "; all if left out.")] = None,
    deadline: Annotated[int, typer.Option(help="Milliseconds.")] = 100,
    pictures: Annotated[int, typer.Option(min=2, help="Sent along each trace.")] = traces.PICTURES,
) -> None:
    """The same between network namespaces, shaped by the kernel's token bucket; wants root."""
    from benchmarks.link.drive import missed
    from benchmarks.link.kernel import kernel as run

    _before_all_else()
    rows = run(model, *_pictures(data), trace or list(traces.ALL), deadline / 1000, pictures)
    _tell("kernel", rows, missed(rows))


@app.command()
def families(
    data: Annotated[str, typer.Option(help="imagewoof:DIR, or a folder: whose test pictures are sent.")],
    models: Annotated[Path, typer.Option(help="Has a folder for each family's artifact.")] = SHIPPED.parent,
    trace: Annotated[list[str] | None, typer.Option(help="Of " + ", ".join(traces.ALL) + "; all if left out.")] = None,
    deadline: Annotated[list[int] | None, typer.Option(help="Milliseconds; 100 if left out.")] = None,
    pictures: Annotated[int, typer.Option(min=2, help="Sent along each trace.")] = traces.PICTURES,
) -> None:
    """Nested, mixed, rate-adaptive and progressive on the same links at once: what each uses of them, and its worth."""
    from benchmarks.link import families as of

    budgets = [ms / 1000 for ms in deadline or (100,)]
    _before_all_else()
    rows = of.compare(of.families(models), *_pictures(data), trace or list(traces.ALL), budgets, pictures)
    _show(rows)
    sys.exit(write_results("link", "families", {"rows": rows, "means": of.by_family(rows)}, of.bars(rows)))


@app.command()
def extremes(
    data: Annotated[str, typer.Option(help="Whose test pictures are sent, or asked about: imagewoof:DIR, easyvqa, …")],
    model: Path = SHIPPED,
    pictures: Annotated[int, typer.Option(min=2, help="Sent along each link.")] = PICTURES,
    period: Annotated[float, typer.Option(min=0.1, help="Seconds from picture to picture along each link.")] = PERIOD_S,
) -> None:
    """Links under 1 Mbit/s, more than half a second away, or interrupted: how long an answer takes, and its worth."""
    from benchmarks.link import extremes as of
    from training.data import load_split

    rows = of.extremes(model, load_split(data, "test"), count=pictures, period=period)
    found = {"period_s": period, "rows": rows}
    sys.exit(write_results("link", f"extremes-{model.resolve().name}", found, of.bars(rows)))


@app.command()
def rules(
    model: Path = SHIPPED,
    deadline: Annotated[list[int] | None, typer.Option(help="Milliseconds; 30, 100 and 500 if left out.")] = None,
) -> None:
    """Two ways to choose the point, in simulated time (seconds): two averages with hysteresis, and ours."""
    from benchmarks.link.rules import bars
    from benchmarks.link.rules import rules as run

    rows = run(model, [ms / 1000 for ms in deadline or (30, 100, 500)])
    sys.exit(write_results("link", "rules", {"rows": rows}, bars(rows)))


@app.command()
def figures() -> None:
    """Draw the plot of the deadlines from the committed results."""
    from benchmarks.link.figures import draw

    if (result := read_results("link", "deadlines")) is None:
        raise UsageError("There are no results of the deadlines yet; run `python -m benchmarks.link deadlines` first.")
    print(draw(result["figures"]["rows"]))


def _before_all_else() -> None:
    """This process and all that it starts, where the machine lets us: its root, on Linux."""
    with contextlib.suppress(AttributeError, PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))


def _pictures(data: str) -> tuple[list[Picture], list[int]]:
    from training.data import load_split

    split = load_split(data, "test")
    drawn = np.random.default_rng(0).permutation(len(split))[:DIFFERENT]
    return [split.picture(int(i)) for i in drawn], split.labels[drawn].tolist()


def _tell(name: str, rows: list[dict[str, Any]], bars: list[Bar]) -> None:
    _show(rows)
    sys.exit(write_results("link", name, {"rows": rows}, bars))


def _show(rows: list[dict[str, Any]]) -> None:
    methods = list(dict.fromkeys(row["method"] for row in rows))
    table = Table("trace", "ms", *methods, title="accuracy %, (deadlines met % where level 1 could be in time)")
    for name, ms in dict.fromkeys((row["trace"], row["deadline_ms"]) for row in rows):
        cell = {row["method"]: row for row in rows if (row["trace"], row["deadline_ms"]) == (name, ms)}
        table.add_row(
            name, str(ms), *(f"{cell[m]['accuracy']:.1f} ({cell[m]['met_where_possible']:.0f})" for m in methods)
        )
    Console(stderr=True, width=160).print(table)


if __name__ == "__main__":
    run_command(app)
