"""Every method on every trace at every deadline, over the relay, in real time; each method in a process of its own."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from artoveq.demo.relay import Relay
from artoveq.processes import server_process
from benchmarks.link.bound import ALL, NAME, bound_row, known
from benchmarks.link.drive import (
    AROUND_BYTES,
    DELAY_S,
    MET,
    METHODS,
    Tick,
    cell,
    drive,
    method_of,
    missed,
    period_of,
    summary,
    worst,
)
from benchmarks.link.traces import trace, varies_twofold
from benchmarks.results import Bar
from edge_client import AsyncClient, OneShot
from edge_client.transport.emulated import UNLIMITED, CapacityTrace
from wire.artifact import load_artifact
from wire.manifest import Manifest
from wire.pictures import Picture, fit_picture

WARM_UP = 40
START_S, PAUSE_S = 10.0, 5.0
"""Until the processes are up, and from one group of runs to the next: the last pictures of one may be late."""
TIGHT_S, TIGHT_SLOT_S, SLOT_S = 0.05, 0.04, 0.02
"""A picture begins every SLOT_S; at deadlines below TIGHT_S every TIGHT_SLOT_S, so that each has the machine alone."""
MOST_BEHIND = 4.0
"""Points of accuracy that ours may lie behind the schedule that knows all."""


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
    model: Path,
    pictures: Sequence[Picture],
    labels: Sequence[int],
    names: Sequence[str],
    budgets: Sequence[float],
    count: int,
) -> list[dict[str, Any]]:
    """One row for each trace, deadline and method, the bound among them. count: pictures of each."""
    artifact = load_artifact(model)
    size = artifact.manifest.preprocessing.size
    small = np.stack([fit_picture(picture, size) for picture in pictures])
    of = known(artifact, list(small), labels)
    spawn = multiprocessing.get_context("spawn")
    with server_process(model) as server, ProcessPoolExecutor(len(METHODS), spawn) as processes:
        usual, least = processes.submit(overhead, server.port, model, small).result()
        runs = plan(names, budgets, time.monotonic() + START_S, count)
        following = [
            processes.submit(
                _follow, [r for r in runs if r.method == method], server.port, model, small, labels, usual, count
            )
            for method in METHODS
        ]
        rows = [row for one in following for row in one.result()]
    for name in names:
        for budget in budgets:
            phases = sorted({run.phase for run in runs if (run.trace, run.deadline) == (name, budget)})
            shape = shape_of(name, artifact.manifest, budget, usual)
            row = bound_row(of, shape, budget, least, count, phases)
            rows.append({"trace": name, "deadline_ms": round(1000 * budget), **row})
    cells = [(name, round(1000 * budget)) for name in names for budget in budgets]
    return sorted(rows, key=lambda row: (cells.index((row["trace"], row["deadline_ms"])), ALL.index(row["method"])))


def shape_of(name: str, manifest: Manifest, budget: float, overhead_s: float) -> CapacityTrace:
    """The trace whose 1.0 is what carries the highest level just within the budget."""
    return trace(name, _nominal(manifest, budget, overhead_s), period_of(budget))


def _nominal(manifest: Manifest, budget: float, overhead_s: float) -> float:
    highest = manifest.point(max(manifest.levels.values())).mean_bytes
    return 8 * (highest + AROUND_BYTES) / (budget - overhead_s)


def overhead(port: int, model: Path, pictures: np.ndarray) -> tuple[float, float]:
    """Seconds from picture to answer on a link that takes no time for the bits: usually, and at least."""

    async def measure() -> list[float]:
        async with (
            Relay(UNLIMITED, port, delay=DELAY_S) as link,
            AsyncClient(f"127.0.0.1:{link.port}", model) as client,
        ):
            return [(await client.predict(pictures[i % len(pictures)], OneShot(1))).latency for i in range(WARM_UP)]

    taken = asyncio.run(measure())
    return median(taken[WARM_UP // 2 :]), min(taken)


def _follow(
    runs: Sequence[Run],
    port: int,
    model: Path,
    pictures: np.ndarray,
    labels: Sequence[int],
    overhead_s: float,
    count: int,
) -> list[dict[str, Any]]:
    """The runs of one method, each when it is due."""
    manifest = load_artifact(model, edge=True).manifest

    async def one(run: Run) -> dict[str, Any]:
        shape = shape_of(run.trace, manifest, run.deadline, overhead_s)
        ticks = await sent_along(run, shape, port, model, manifest, pictures, labels, count)
        figures = summary(ticks, manifest, shape, run.deadline, overhead_s)
        named = {"trace": run.trace, "deadline_ms": round(1000 * run.deadline), "method": run.method}
        return {**named, "kbit_nominal": round(_nominal(manifest, run.deadline, overhead_s) / 1000, 1), **figures}

    async def all_of_them() -> list[dict[str, Any]]:
        return list(await asyncio.gather(*(one(run) for run in runs)))

    return asyncio.run(all_of_them())


async def sent_along(
    run: Run,
    shape: CapacityTrace,
    port: int,
    model: Path,
    manifest: Manifest,
    pictures: np.ndarray,
    labels: Sequence[int],
    count: int,
) -> list[Tick]:
    """What became of a run's pictures over a link of this shape, begun when it is due."""
    method = method_of(run.method, manifest)
    await asyncio.sleep(run.began - time.monotonic() - PAUSE_S / 2)
    async with (
        Relay(shape, port, delay=DELAY_S) as link,
        AsyncClient(f"127.0.0.1:{link.port}", model, policy=method.policy) as client,
    ):
        gc.freeze()
        await asyncio.sleep(run.began - time.monotonic())
        link.restart()
        return await drive(client, method.mode, list(pictures), labels, run.deadline, run.phase, count)


def bars(rows: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """What the README says of ours, each where it is worst; and that nothing is above the bound."""
    found = missed(rows)
    bound = {cell(row): row["accuracy"] for row in rows if row["method"] == NAME}
    over = {cell(row): 0.0 for row in rows}
    for row in rows:
        over[cell(row)] = max(over[cell(row)], round(row["accuracy"] - bound[cell(row)], 2))
    found.append(worst(f"points of any method above {NAME}", over, 0.0, "at most"))
    others: dict[str, float] = {}
    for row in rows:
        if row["method"] not in (NAME, *MET) and varies_twofold(row["trace"]):
            others[cell(row)] = max(others.get(cell(row), 0.0), row["accuracy"])
    for ours in MET:
        of = {cell(row): row["accuracy"] for row in rows if row["method"] == ours}
        behind = {where: round(bound[where] - accuracy, 2) for where, accuracy in of.items()}
        found.append(worst(f"{ours}, points behind {NAME}", behind, MOST_BEHIND, "at most"))
        ahead = {where: round(of[where] - best, 2) for where, best in others.items()}
        if ahead:
            name = f"{ours}, points ahead of what is fixed or a file, where capacities vary twofold"
            found.append(worst(name, ahead, 0.0, "at least"))
    return found
