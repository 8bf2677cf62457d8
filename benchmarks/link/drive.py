"""One way to send pictures, over one link, at one deadline: what arrived in time, and what it is worth."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import mean
from typing import Any, Literal

from benchmarks.results import Bar
from edge_client import AsyncClient, File, OneShot, Progressive, Result
from edge_client.modes import Mode
from edge_client.rate import AdaptiveOneShot, AdaptiveProgressive, FixedFile, FixedPoint, RatePolicy
from edge_client.stream import PAYLOAD_FIELDS_BYTES
from edge_client.transport.emulated import CapacityTrace
from edge_client.transport.grpc import OVERHEAD_BYTES, WINDOW_BYTES
from wire.exceptions import ServerError
from wire.manifest import Manifest
from wire.pictures import Picture

DELAY_S = 0.002
"""Of the link, each way."""
AROUND_BYTES = PAYLOAD_FIELDS_BYTES + OVERHEAD_BYTES + WINDOW_BYTES
"""What a picture takes on the link beside its payload."""
WEBP_FIXED_QUALITY = 50
METHODS = ("level 1", "level 4", "level 8", "one-shot", "progressive", "webp fixed", "webp adapted")
MET = {"one-shot": 97.0, "progressive": 99.0}
"""Per cent of the deadlines that ours meet at least, of those that level 1 could meet."""


@dataclass(frozen=True)
class Method:
    """How pictures are sent."""

    policy: RatePolicy | None = None
    mode: Mode = field(default_factory=OneShot)


def method_of(name: str, manifest: Manifest) -> Method:
    """One of METHODS."""
    if name.startswith("level "):
        return Method(FixedPoint(manifest.point_of_level(int(name.removeprefix("level ")))))
    return {
        "one-shot": Method(AdaptiveOneShot()),
        "progressive": Method(AdaptiveProgressive(), Progressive()),
        "webp fixed": Method(FixedFile(manifest.preprocessing.size, WEBP_FIXED_QUALITY)),
        "webp adapted": Method(mode=File()),
    }[name]


@dataclass
class Tick:
    """One picture: taken at `at` seconds of the trace; nothing was sent where the last one still was on its way."""

    at: float
    label: int = -1
    """Its class; −1: not known."""
    result: Result | None = None


def period_of(deadline: float) -> float:
    """Seconds from one picture to the next."""
    return max(0.16, 2 * deadline)


async def drive(
    client: AsyncClient,
    mode: Mode,
    pictures: Sequence[Picture],
    labels: Sequence[int],
    deadline: float,
    phase: float,
    count: int,
) -> list[Tick]:
    """One picture after the other; where the last one still is on its way when the next is due, that is not sent."""
    period, ticks, busy = period_of(deadline), [], None
    began = time.monotonic()
    for k in range(count):
        await asyncio.sleep(began + phase + k * period - time.monotonic())
        tick = Tick(phase + k * period, int(labels[k % len(labels)]))
        ticks.append(tick)
        if busy is None or busy.done():
            busy = asyncio.create_task(_send(client, mode, pictures[k % len(pictures)], deadline, tick))
    if busy is not None:
        await asyncio.wait([busy], timeout=5)
        busy.cancel()
    return ticks


async def _send(client: AsyncClient, mode: Mode, picture: Picture, deadline: float, tick: Tick) -> None:
    try:
        tick.result = await client.predict(picture, mode, deadline)
    except ServerError:
        return


def worst(name: str, found: Mapping[str, float], limit: float, kind: Literal["at least", "at most"]) -> Bar:
    """A bar for the link and deadline at which a figure is worst."""
    where = (min if kind == "at least" else max)(found, key=lambda one: found[one])
    return Bar(f"{name} (at worst, {where})", found[where], limit, kind)


def missed(rows: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """How many of the deadlines that level 1 could meet ours met."""
    return [
        worst(
            f"{method}, % of deadlines met",
            {cell(row): row["met_where_possible"] for row in rows if row["method"] == method},
            limit,
            "at least",
        )
        for method, limit in MET.items()
    ]


def cell(row: Mapping[str, Any]) -> str:
    """Which link, and which deadline."""
    return f"{row['trace']}, {row['deadline_ms']} ms"


def summary(
    ticks: Sequence[Tick], manifest: Manifest, trace: CapacityTrace, deadline: float, overhead_s: float
) -> dict[str, Any]:
    """Accuracy where a late answer is a wrong one, and the part of deadlines met where level 1 could be in time.

    accuracy: an answer in time counts as much as answers of its point (or as such a WebP file) are right on the
    whole test set: the manifest's figures. That is what it would be, without the chance of which pictures were
    drawn. right: how many answers in time named the picture's class. A model without level 1 has its cheapest point
    in place of it. overhead_s: that an answer takes beside its bits.
    """
    files = {(row.side, row.quality): row.metric for row in manifest.codec}
    lowest = 8 * (manifest.point(manifest.levels.get(1, 1)).mean_bytes + AROUND_BYTES)
    worth, right, met, possible = [], [], [], []
    for tick in ticks:
        result = tick.result
        in_time = [answer for answer in result.served if answer.after <= deadline] if result else []
        newest = in_time[-1] if in_time else None
        if newest is None or result is None:
            worth.append(0.0)
        else:
            worth.append(files[result.file] if result.file else manifest.point(newest.point).metric)
        right.append(newest is not None and newest.best.index == tick.label)
        met.append(newest is not None)
        possible.append(trace.carried(tick.at, lowest) - tick.at + overhead_s <= deadline)
    sent = [tick.result for tick in ticks if tick.result]
    points = [result.file or (result.served[-1].point if result.served else 0) for result in sent]
    return {
        "pictures": len(ticks),
        "accuracy": round(100 * mean(worth), 2),
        "right": round(100 * mean(right), 2),
        "met": round(100 * mean(met), 2),
        "possible": round(100 * mean(possible), 1),
        "met_where_possible": round(100 * mean([m for m, p in zip(met, possible, strict=True) if p] or [True]), 2),
        "bytes": round(mean(result.payload_bytes for result in sent), 1),
        "switches": sum(a != b for a, b in pairwise(points)),
    }
