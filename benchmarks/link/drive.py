"""One way to send pictures, over one link, at one deadline: what arrived in time, and what it is worth."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import mean
from typing import Any

from artoveq.demo.link import Trace
from edge_client import AsyncClient, Result
from edge_client.rate import REMEMBERED, Fate, Forecast
from edge_client.talk import AROUND_BYTES
from wire.exceptions import ServerError
from wire.pictures import Picture

DELAY_S = 0.002
"""Of the link, each way."""
WEBP_FIXED_QUALITY = 50


@dataclass(frozen=True)
class Method:
    """How pictures are sent. oracle: as one-shot, with the capacity that the link truly has at that moment."""

    options: dict[str, Any] = field(default_factory=dict)
    oracle: bool = False


METHODS = {
    "oracle": Method(oracle=True),
    "level 1": Method({"level": 1}),
    "level 4": Method({"level": 4}),
    "level 8": Method({"level": 8}),
    "one-shot": Method(),
    "progressive": Method({"progressive": True}),
    "webp fixed": Method(),
    "webp adapted": Method({"webp": True}),
}


MET = {"one-shot": 97.0, "progressive": 99.0}
"""Per cent of the deadlines that ours meet at least, of those that level 1 could meet."""


@dataclass
class Tick:
    """One picture: taken at `at` seconds of the trace; nothing was sent where the last one still was on its way."""

    at: float
    result: Result | None = None


def period_of(deadline: float) -> float:
    """Seconds from one picture to the next."""
    return max(0.16, 2 * deadline)


async def drive(
    method: str,
    client: AsyncClient,
    capacity: Callable[[], float],
    pictures: Sequence[Picture],
    deadline: float,
    phase: float,
    count: int,
) -> list[Tick]:
    """One picture after the other; where the last one still is on its way when the next is due, that is not sent.

    capacity: of the link at the moment, in bits per second; the oracle alone asks.
    """
    period, ticks, busy = period_of(deadline), [], None
    began = time.monotonic()
    for k in range(count):
        await asyncio.sleep(began + phase + k * period - time.monotonic())
        tick = Tick(phase + k * period)
        ticks.append(tick)
        if busy is None or busy.done():
            busy = asyncio.create_task(_send(method, client, capacity, pictures[k % len(pictures)], deadline, tick))
    if busy is not None:
        await asyncio.wait([busy], timeout=5)
        busy.cancel()
    return ticks


async def _send(
    method: str, client: AsyncClient, capacity: Callable[[], float], picture: Picture, deadline: float, tick: Tick
) -> None:
    options = dict(METHODS[method].options)
    if METHODS[method].oracle:
        known = capacity()
        fates = deque((Fate(fate.spent, 1.0, known) for fate in client.forecast.fates), REMEMBERED)
        client.forecast = Forecast(known, time.monotonic(), fates)
    elif method == "webp fixed":
        options["webp"] = fixed_point(client)
    try:
        tick.result = await client.predict(picture, budget=deadline, **options)
    except ServerError:
        return


def fixed_point(client: AsyncClient) -> tuple[int, int]:
    """The whole picture at quality 50."""
    assert client.encoder is not None
    return client.encoder.manifest.preprocessing.size, WEBP_FIXED_QUALITY


def missed(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Where ours met fewer deadlines than `MET`, of those that level 1 could meet."""
    return [
        f"{row['trace']}, {row['deadline_ms']} ms: {row['method']} met {row['met_where_possible']} % of the deadlines, "
        f"not {MET[row['method']]} %"
        for row in rows
        if row["met_where_possible"] < MET.get(row["method"], 0)
    ]


def summary(ticks: Sequence[Tick], client: AsyncClient, trace: Trace, deadline: float, spent: float) -> dict[str, Any]:
    """Accuracy where a late answer is a wrong one, and the part of deadlines met where level 1 could be in time.

    An answer in time counts as much as answers of its level (or at its point of WebP) are right on the
    whole test set: the manifest's figures. That is what the accuracy would be, without the chance of which
    pictures were drawn. spent: seconds that an answer takes beside its bits.
    """
    assert client.encoder is not None
    manifest = client.encoder.manifest
    top1 = {row.level: row.top1 for row in manifest.levels}
    files = {(row.side, row.quality): row.top1 for row in manifest.codec}
    lowest = 8 * (manifest.levels[0].payload_bytes + AROUND_BYTES)
    worth, met, possible = [], [], []
    for tick in ticks:
        result = tick.result
        in_time = [p for p in result.predictions if p.after <= deadline] if result else []
        worth.append((files[result.webp] if result.webp else top1[in_time[-1].planes]) if result and in_time else 0.0)
        met.append(bool(in_time))
        possible.append(trace.carried(tick.at, lowest) - tick.at + spent <= deadline)
    sent = [tick.result for tick in ticks if tick.result]
    levels = [result.webp or result.predictions[-1].planes for result in sent]
    return {
        "pictures": len(ticks),
        "accuracy": round(100 * mean(worth), 2),
        "met": round(100 * mean(met), 2),
        "possible": round(100 * mean(possible), 1),
        "met_where_possible": round(100 * mean([m for m, p in zip(met, possible, strict=True) if p] or [True]), 2),
        "bytes": round(mean(result.payload_bytes for result in sent), 1),
        "switches": sum(a != b for a, b in pairwise(levels)),
    }
