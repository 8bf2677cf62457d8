"""Every method on every trace at every deadline, over the relay, in real time; each method in a process of its own."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from artoveq.demo.link import UNLIMITED, Link
from artoveq.processes import server_process
from benchmarks.link.drive import DELAY_S, MET, METHODS, drive, missed, period_of, summary
from benchmarks.link.traces import trace, varies_twofold
from edge_client import AsyncClient
from edge_client.talk import AROUND_BYTES
from wire.artifact import load_artifact
from wire.pictures import Picture, fit_picture

WARM_UP = 40
START_S, PAUSE_S = 10.0, 5.0
"""Until the processes are up, and from one group of runs to the next: the last pictures of one may be late."""
TIGHT_S, TIGHT_SLOT_S, SLOT_S = 0.05, 0.04, 0.02
"""A picture begins every SLOT_S; at deadlines below TIGHT_S every TIGHT_SLOT_S, so that each has the machine alone."""
MOST_BEHIND = 1.0
"""Points of accuracy that ours may lie behind the oracle."""


@dataclass(frozen=True)
class Run:
    """A method along a trace at a deadline, from a moment on (monotonic seconds, the same in all processes)."""

    trace: str
    deadline: float
    method: str
    began: float
    phase: float


def plan(names: Sequence[str], budgets: Sequence[float], first: float, count: int) -> list[Run]:
    """All runs: as many at the same time as do not disturb each other, evenly out of step."""
    runs = []
    for budget in budgets:
        period = period_of(budget)
        at_once = round(period / (TIGHT_SLOT_S if budget < TIGHT_S else SLOT_S))
        pairs = [(name, method) for name in names for method in METHODS]
        for start in range(0, len(pairs), at_once):
            for i, (name, method) in enumerate(pairs[start : start + at_once]):
                runs.append(Run(name, budget, method, first, i * period / at_once))
            first += count * period + budget + PAUSE_S
    return runs


def deadlines(
    model: Path, pictures: Sequence[Picture], names: Sequence[str], budgets: Sequence[float], count: int
) -> list[dict[str, Any]]:
    """One row for each trace, deadline and method. count: pictures of each."""
    size = load_artifact(model, edge=True).manifest.preprocessing.size
    small = np.stack([fit_picture(picture, size) for picture in pictures])
    spawn = multiprocessing.get_context("spawn")
    with server_process(model) as server, ProcessPoolExecutor(len(METHODS), spawn) as processes:
        spent = processes.submit(_spent, server.port, model, small).result()
        runs = plan(names, budgets, time.monotonic() + START_S, count)
        following = [
            processes.submit(_follow, [r for r in runs if r.method == method], server.port, model, small, spent, count)
            for method in METHODS
        ]
        rows = [row for one in following for row in one.result()]
    order = [(run.trace, round(1000 * run.deadline), run.method) for run in runs]
    return sorted(rows, key=lambda row: order.index((row["trace"], row["deadline_ms"], row["method"])))


def _spent(port: int, model: Path, pictures: np.ndarray) -> float:
    """Seconds from picture to answer on a link that takes no time for the bits."""

    async def measure() -> float:
        async with (
            Link(UNLIMITED, port, delay=DELAY_S) as link,
            AsyncClient(f"127.0.0.1:{link.port}", str(model)) as client,
        ):
            taken = [(await client.predict(pictures[i % len(pictures)], level=1)).latency for i in range(WARM_UP)]
        return median(taken[WARM_UP // 2 :])

    return asyncio.run(measure())


def _follow(
    runs: Sequence[Run], port: int, model: Path, pictures: np.ndarray, spent: float, count: int
) -> list[dict[str, Any]]:
    """The runs of one method, each when it is due."""
    highest = load_artifact(model, edge=True).manifest.levels[-1].payload_bytes

    async def one(run: Run) -> dict[str, Any]:
        nominal = 8 * (highest + AROUND_BYTES) / (run.deadline - spent)
        shape = trace(run.trace, nominal, period_of(run.deadline))
        await asyncio.sleep(run.began - time.monotonic() - PAUSE_S / 2)
        async with (
            Link(shape, port, delay=DELAY_S) as link,
            AsyncClient(f"127.0.0.1:{link.port}", str(model)) as client,
        ):
            gc.freeze()
            await asyncio.sleep(run.began - time.monotonic())
            link.restart()
            ticks = await drive(run.method, client, lambda: link.capacity, pictures, run.deadline, run.phase, count)
            figures = summary(ticks, client, shape, run.deadline, spent)
        named = {"trace": run.trace, "deadline_ms": round(1000 * run.deadline), "method": run.method}
        return {**named, "kbit_nominal": round(nominal / 1000, 1), **figures}

    async def all_of_them() -> list[dict[str, Any]]:
        return list(await asyncio.gather(*(one(run) for run in runs)))

    return asyncio.run(all_of_them())


def faults(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Where ours does not do what the README says of it."""
    cells: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}
    for row in rows:
        cells.setdefault((row["trace"], row["deadline_ms"]), {})[row["method"]] = row
    found = missed(rows)
    for (name, deadline), of in cells.items():
        where = f"{name}, {deadline} ms"
        for ours in MET:
            behind = of["oracle"]["accuracy"] - of[ours]["accuracy"]
            if behind > MOST_BEHIND:
                found.append(f"{where}: {ours} is {behind:.1f} points behind the oracle")
            if varies_twofold(name):
                found += [
                    f"{where}: {other} has {of[other]['accuracy']}, {ours} {of[ours]['accuracy']}"
                    for other in of
                    if other not in ("oracle", *MET) and of[other]["accuracy"] >= of[ours]["accuracy"]
                ]
    return found
