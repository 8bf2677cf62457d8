"""Codebook families on the same links at the same time: what each leaves unused of a deadline, and what it is worth.

Models are sent without their local heads: an edge that has an answer of its own sends nothing where no better one comes
in time, and the others are not told apart by that.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from artoveq.processes import server_process
from benchmarks.link.deadlines import PAUSE_S, START_S, Run, overhead, sent_along, shape_of
from benchmarks.link.drive import AROUND_BYTES, MET, Tick, cell, period_of, summary, worst
from benchmarks.results import Bar
from edge_client.transport.emulated import CapacityTrace
from wire.artifact import load_artifact, values_of, write_artifact
from wire.pictures import Picture, fit_picture


@dataclass(frozen=True)
class Sent:
    """A model, and how its pictures are sent."""

    name: str
    model: Path
    method: str


def families(models: Path) -> list[Sent]:
    """The shipped families; `models` has one folder for each."""
    one_shot = ("nested", "mixed", "rate-adaptive", "progressive")
    rows = [Sent(f"{name}, one-shot", models / f"imagewoof64-compact-{name}", "one-shot") for name in one_shot]
    return [*rows, Sent("progressive, plane by plane", rows[-1].model, "progressive")]


def compare(
    all_sent: Sequence[Sent],
    pictures: Sequence[Picture],
    labels: Sequence[int],
    names: Sequence[str],
    budgets: Sequence[float],
    count: int,
) -> list[dict[str, Any]]:
    """A row for each trace, deadline and family; in each of them all families are sent at the same time, out of step.

    The link is the same for all: its 1.0 carries the highest level of the last one's model just within the deadline.
    """
    reference = load_artifact(all_sent[-1].model, edge=True).manifest
    small = np.stack([fit_picture(picture, reference.preprocessing.size) for picture in pictures])
    spawn = multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as stack:
        all_sent = _without_local_heads(all_sent, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        ports = {one.model: stack.enter_context(server_process(one.model)).port for one in all_sent}
        processes = stack.enter_context(ProcessPoolExecutor(len(all_sent), spawn))
        last = all_sent[-1].model
        usual, _ = processes.submit(overhead, ports[last], last, small).result()
        first = time.monotonic() + START_S
        runs: dict[Sent, list[tuple[Run, CapacityTrace]]] = {one: [] for one in all_sent}
        for budget in budgets:
            for name in names:
                for i, one in enumerate(all_sent):
                    run = Run(name, budget, one.method, first, i * period_of(budget) / len(all_sent))
                    runs[one].append((run, shape_of(name, reference, budget, usual)))
                first += count * period_of(budget) + budget + PAUSE_S
        following = [
            processes.submit(_follow, one, runs[one], ports[one.model], small, labels, usual, count) for one in all_sent
        ]
        rows = [row for one in following for row in one.result()]
    cells = [(name, round(1000 * budget)) for name in names for budget in budgets]
    return sorted(rows, key=lambda row: cells.index((row["trace"], row["deadline_ms"])))


def _without_local_heads(all_sent: Sequence[Sent], into: Path) -> list[Sent]:
    """The same with other folders where a model has one."""
    folders = {}
    for model in {one.model for one in all_sent}:
        artifact = load_artifact(model)
        if artifact.manifest.local_head is None:
            folders[model] = model
        else:
            values = {**values_of(artifact.manifest), "local_head": None}
            files = {name: artifact.read(name) for name in artifact.manifest.files}
            folders[model] = write_artifact(into / model.name, values, files).folder
    return [replace(one, model=folders[one.model]) for one in all_sent]


def _follow(
    sent: Sent,
    runs: Sequence[tuple[Run, CapacityTrace]],
    port: int,
    pictures: np.ndarray,
    labels: Sequence[int],
    overhead_s: float,
    count: int,
) -> list[dict[str, Any]]:
    """The runs of one family, each when it is due."""
    manifest = load_artifact(sent.model, edge=True).manifest

    async def one(run: Run, shape: CapacityTrace) -> dict[str, Any]:
        ticks = await sent_along(run, shape, port, sent.model, manifest, pictures, labels, count)
        figures = summary(ticks, manifest, shape, run.deadline, overhead_s)
        unused = unused_share(ticks, shape, run.deadline, overhead_s)
        return {
            "trace": run.trace,
            "deadline_ms": round(1000 * run.deadline),
            "method": sent.name,
            "points": len(manifest.points),
            **figures,
            "unused": unused,
        }

    async def all_of_them() -> list[dict[str, Any]]:
        return list(await asyncio.gather(*(one(*run) for run in runs)))

    return asyncio.run(all_of_them())


def unused_share(ticks: Sequence[Tick], link: CapacityTrace, deadline: float, overhead_s: float) -> float:
    """Of what the link carries in time for a picture's answer, which takes overhead_s beside its bits: per cent that no
    answer in time was made of.
    """
    shares = []
    for tick in ticks:
        room = link.bits(tick.at, tick.at + deadline - overhead_s)
        in_time = [answer for answer in tick.result.served if answer.after <= deadline] if tick.result else []
        used = 8 * (in_time[-1].payload_bytes + AROUND_BYTES) if in_time else 0
        shares.append(max(0.0, 1 - used / room))
    return round(100 * mean(shares), 2)


def by_family(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Means over all links and deadlines, a row for each family."""
    methods = dict.fromkeys(row["method"] for row in rows)
    of = {method: [row for row in rows if row["method"] == method] for method in methods}
    keys = ("accuracy", "right", "met_where_possible", "unused", "bytes")
    return [
        {"method": method, "points": found[0]["points"], **{k: round(mean(row[k] for row in found), 2) for k in keys}}
        for method, found in of.items()
    ]


def bars(rows: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """That codebooks of any size use more of a link than eight levels do, and are worth more; deadlines met."""
    of = {row["method"]: row for row in by_family(rows)}
    ours, levels = of["rate-adaptive, one-shot"], of["nested, one-shot"]
    found = [
        Bar("rate-adaptive above nested, points", round(ours["accuracy"] - levels["accuracy"], 2), 0.0, "at least"),
        Bar("unused by nested above rate-adaptive, %", round(levels["unused"] - ours["unused"], 2), 0.0, "at least"),
    ]
    for method in of:
        met = {cell(row): row["met_where_possible"] for row in rows if row["method"] == method}
        found.append(worst(f"{method}, % of deadlines met", met, MET["one-shot"], "at least"))
    return found
