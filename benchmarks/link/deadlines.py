"""Every method on every trace at every deadline, over the relay, in real time."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from artoveq.demo.link import UNLIMITED, Link
from artoveq.processes import server_process
from benchmarks.link.drive import AROUND_BYTES, DELAY_S, METHODS, drive, period_of, summary
from benchmarks.link.traces import SECONDS, trace, varies_twofold
from edge_client import AsyncClient
from wire.artifact import load_artifact
from wire.pictures import Picture

WARM_UP = 30
MOST_BEHIND = 1.0
"""Points of accuracy that ours may lie behind the oracle."""
MET = {"one-shot": 97.0, "progressive": 99.0}


async def deadlines(
    model: Path, pictures: Sequence[Picture], names: Sequence[str], budgets: Sequence[float], seconds: float = SECONDS
) -> list[dict[str, Any]]:
    """One row for each trace, deadline and method."""
    rows = []
    with server_process(model) as server:
        gc.freeze()
        spent = await _spent(server.port, model, pictures)
        for name in names:
            for budget in budgets:
                rows += await _cell(server.port, model, pictures, name, budget, spent, seconds)
    return rows


async def _spent(port: int, model: Path, pictures: Sequence[Picture]) -> float:
    """Seconds from picture to answer on a link that takes no time for the bits."""
    async with (
        Link(UNLIMITED, port, delay=DELAY_S) as link,
        AsyncClient(f"127.0.0.1:{link.port}", str(model)) as client,
    ):
        return median([(await client.predict(picture, level=1)).latency for picture in pictures[:WARM_UP]])


async def _cell(
    port: int, model: Path, pictures: Sequence[Picture], name: str, budget: float, spent: float, seconds: float
) -> list[dict[str, Any]]:
    """All methods at once, each over a link of its own."""
    highest = load_artifact(model, edge=True).manifest.levels[-1].payload_bytes
    shape = trace(name, 8 * (highest + AROUND_BYTES) / (budget - spent))
    async with contextlib.AsyncExitStack() as stack:
        links = [await stack.enter_async_context(Link(shape, port, delay=DELAY_S)) for _ in METHODS]
        clients = [await stack.enter_async_context(AsyncClient(f"127.0.0.1:{link.port}", str(model))) for link in links]
        for link in links:
            link.restart()
        period = period_of(budget)
        ticks = await asyncio.gather(
            *(
                drive(method, client, link, pictures, budget, i * period / len(METHODS), seconds)
                for i, (method, client, link) in enumerate(zip(METHODS, clients, links, strict=True))
            )
        )
    cell = {"trace": name, "deadline_ms": round(1000 * budget)}
    return [
        {**cell, "method": method, **summary(found, client, shape, budget, spent)}
        for method, client, found in zip(METHODS, clients, ticks, strict=True)
    ]


def faults(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Where ours does not do what the README says of it."""
    cells: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}
    for row in rows:
        cells.setdefault((row["trace"], row["deadline_ms"]), {})[row["method"]] = row
    found = []
    for (name, deadline), of in cells.items():
        where = f"{name}, {deadline} ms"
        for ours, least in MET.items():
            if of[ours]["met_where_possible"] < least:
                found.append(f"{where}: {ours} met {of[ours]['met_where_possible']} % of the deadlines, not {least} %")
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
