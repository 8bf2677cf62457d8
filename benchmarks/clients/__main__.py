"""python -m benchmarks.clients: figures as JSON, printed and written to results/."""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from artoveq.processes import server_process
from benchmarks.clients.foreign import COMMANDS, build, classify
from benchmarks.command import SHIPPED
from benchmarks.command import run as run_command
from benchmarks.results import Bar, write_results
from wire.manifest import MANIFEST
from wire.manifest_json import parse_manifest

MOST_APART = 0.001
RUNS = 8
"""Messages that the planes of a picture take."""

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def clients() -> None:
    """What the clients in other languages find."""


@app.command()
def accuracy(
    data: Annotated[str, typer.Option(help="Data set whose test pictures are sent, KIND:DIR or a folder.")],
    model: Annotated[Path, typer.Option(help="Folder of the artifact.")] = SHIPPED,
) -> None:
    """Each client's share of right answers beside the manifest's: blocks at the best point, planes to a middle one."""
    from training.data import load_split

    split, manifest = load_split(data, "test"), parse_manifest((model / MANIFEST).read_bytes(), str(model))
    files = [Path(str(source)) for source in split.sources]
    build()
    rows, bars = [], []
    ways = ((len(manifest.points), 0), (manifest.chain[len(manifest.chain) // 2 - 1], RUNS))
    with server_process(model) as server:
        for client, (point, runs) in product(COMMANDS, ways):
            answers = classify(client, server.address, files, point=point, runs=runs)
            top1 = float(np.mean([a["index"] == label for a, label in zip(answers, split.labels, strict=True)]))
            mean_bytes = round(float(np.mean([answer["bytes"] for answer in answers])), 1)
            expected = manifest.point(point).metric
            rows.append(
                {"client": client, "point": point, "messages": runs or 1, "pictures": len(files), "bytes": mean_bytes}
                | {"top1": round(top1, 6), "manifest": expected}
            )
            bars.append(Bar(f"{client}, point {point}: from the manifest", abs(top1 - expected), MOST_APART, "at most"))
    sys.exit(write_results("clients", "accuracy", {"model": manifest.name, "rows": rows}, bars))


if __name__ == "__main__":
    run_command(app)
