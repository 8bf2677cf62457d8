"""Slow, far and broken links: how long a picture's answer takes, and what it is worth, in real time over the relay.

They are what AlignedVQ's paper (arXiv 2411.05961) leaves open: less than 1 Mbit/s, more than half a second away, and
interruptions.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np

from artoveq.demo.relay import Relay
from artoveq.judging import Judge, judge
from artoveq.processes import server_process
from benchmarks.link.drive import DELAY_S, WEBP_FIXED_QUALITY, Method, method_of
from benchmarks.results import Bar
from edge_client import AsyncClient, Result
from edge_client.transport.emulated import CapacityTrace
from training.data import Split
from training.questions import NO_ANSWER
from wire.artifact import load_artifact
from wire.manifest import Manifest
from wire.pictures import fit_picture

PICTURES, PERIOD_S, BUDGET_S, PATIENCE_S = 40, 1.0, 1.0, 30.0
"""A picture each second, which is to be answered within one, and is waited for this long. Free text may take longer."""
OUTAGE_S, EVERY_S = 3.0, 10.0
SLOWEST = 1.0
"""Bits a second in an outage."""
FURTHER = "a further question"


@dataclass(frozen=True)
class Link:
    """steps: seconds, bits per second. delay: seconds, each way."""

    name: str
    steps: Sequence[tuple[float, float]]
    delay: float = DELAY_S


def interrupted(rate: float, seconds: float) -> Sequence[tuple[float, float]]:
    """Up at this rate, but for OUTAGE_S in the middle of every EVERY_S."""
    before = (EVERY_S - OUTAGE_S) / 2
    starts = np.arange(0.0, seconds, EVERY_S)
    return [(float(at + wait), bits) for at in starts for wait, bits in ((before, SLOWEST), (before + OUTAGE_S, rate))]


LINKS = (
    Link("1 Mbit/s", [(0.0, 1e6)], 0.02),
    Link("100 kbit/s", [(0.0, 1e5)], 0.02),
    Link("10 kbit/s", [(0.0, 1e4)], 0.02),
    Link("256 kbit/s, 600 ms there and back", [(0.0, 256e3)], 0.3),
    Link("256 kbit/s, 3 s of every 10 interrupted", [(0.0, 256e3), *interrupted(256e3, 3600.0)], 0.02),
)


@dataclass(frozen=True)
class Asked:
    """A picture, its label or the number of the answer, and the question, empty where none is asked."""

    picture: np.ndarray
    label: int
    question: str = ""
    further: tuple[str, int] | None = None
    """Another question about it, with its answer's number."""


def asked(split: Split, size: int, count: int) -> list[Asked]:
    """Pictures drawn from a split, at the encoder's size, with their first questions and their last."""
    found = []
    for i in np.random.default_rng(0).permutation(len(split))[:count]:
        picture = fit_picture(split.picture(i), size)
        if split.asked is None:
            found.append(Asked(picture, int(split.labels[i])))
            continue
        last = int((split.labels[i] != NO_ANSWER).sum()) - 1
        further = split.question(i, last), int(split.labels[i, last])
        found.append(Asked(picture, int(split.labels[i, 0]), split.question(i), further))
    return found


def methods(manifest: Manifest) -> dict[str, Method]:
    """Ours, and the same picture as a file, as they are called here."""
    named = {"one-shot": "one-shot"}
    if manifest.refinable:
        named["progressive"] = "progressive"
    if manifest.codec:
        named |= {f"WebP, quality {WEBP_FIXED_QUALITY}": "webp fixed", "WebP, adapted": "webp adapted"}
    return {shown: method_of(name, manifest) for shown, name in named.items()}


def extremes(
    model: Path, split: Split, links: Sequence[Link] = LINKS, count: int = PICTURES, period: float = PERIOD_S
) -> list[dict[str, Any]]:
    """A row for each link and method, all at the same time, each over a relay of its own; as `figures`.

    period: seconds from picture to picture of each. All share one server, which is not to be what they wait for.
    """
    manifest = load_artifact(model, edge=True).manifest
    pictures = asked(split, manifest.preprocessing.size, count)
    score = judge(manifest, split)
    ways = [(link, name, method) for link in links for name, method in methods(manifest).items()]

    async def all_of_them(port: int) -> list[list[dict[str, Any]]]:
        return await asyncio.gather(
            *(
                _along(link, name, method, port, model, score, pictures, period, period * i / len(ways))
                for i, (link, name, method) in enumerate(ways)
            )
        )

    with server_process(model) as server:
        rows = [row for one in asyncio.run(all_of_them(server.port)) for row in one]
    order = [link.name for link in links]
    return sorted(rows, key=lambda row: order.index(row["link"]))


async def _along(
    link: Link,
    name: str,
    method: Method,
    port: int,
    model: Path,
    score: Judge,
    pictures: Sequence[Asked],
    period: float,
    phase: float,
) -> list[dict[str, Any]]:
    trace = CapacityTrace(link.steps)
    first: list[tuple[Result | None, float]] = []
    second: list[tuple[Result | None, float]] = []
    async with (
        Relay(trace, port, delay=link.delay) as relay,
        AsyncClient(f"127.0.0.1:{relay.port}", model, policy=method.policy) as client,
    ):
        relay.restart()
        began = time.monotonic() + phase
        for k, one in enumerate(pictures):
            await asyncio.sleep(max(0.0, began + k * period - time.monotonic()))
            found = await _answered(client, method, one.picture, one.question)
            first.append((found, _worth(score, found, one.picture, one.question, one.label)))
            if one.further is not None:
                found = await _answered(client, method, one.picture, one.further[0])
                second.append((found, _worth(score, found, one.picture, *one.further)))
    rows = [{"link": link.name, "method": name, **figures(first)}]
    return [*rows, {"link": link.name, "method": f"{name}, {FURTHER}", **figures(second)}] if second else rows


def _worth(score: Judge, found: Result | None, picture: np.ndarray, question: str, label: int) -> float:
    return score(found.answers[-1].value, picture, question, label) if found else 0.0


async def _answered(client: AsyncClient, method: Method, picture: np.ndarray, question: str) -> Result | None:
    with contextlib.suppress(asyncio.TimeoutError):
        if question:
            return await asyncio.wait_for(client.ask(picture, question, method.mode, BUDGET_S), PATIENCE_S)
        return await asyncio.wait_for(client.predict(picture, method.mode, BUDGET_S), PATIENCE_S)
    return None


def figures(found: Sequence[tuple[Result | None, float]]) -> dict[str, Any]:
    """served: pictures that the server answered; the others have the edge's own answer, or none at all (lost).

    first_ms, last_ms: to the server's first and last answer, the median; longest_ms: to any picture's first; None
    where it gave none; of free text, to its end. in_time: served within BUDGET_S, per cent.
    right: of the last answers, per cent; none is wrong.
    bytes: of the payload, the mean.
    """
    served = [result for result, _ in found if result is not None and result.served]
    first = [1000 * result.served[0].after for result in served]
    last = [1000 * result.served[-1].after for result in served]
    return {
        "pictures": len(found),
        "lost": sum(result is None for result, _ in found),
        "served": len(served),
        "first_ms": round(median(first), 1) if first else None,
        "last_ms": round(median(last), 1) if last else None,
        "longest_ms": round(max(first), 1) if first else None,
        "in_time": round(100 * sum(ms <= 1000 * BUDGET_S for ms in first) / len(found), 1),
        "right": round(100 * mean(good for _, good in found), 1),
        "bytes": round(mean(result.payload_bytes for result in served), 1) if served else None,
    }


def bars(rows: Sequence[dict[str, Any]]) -> list[Bar]:
    """That no picture goes without an answer."""
    lost = sum(row["lost"] for row in rows if "WebP" not in row["method"])
    return [Bar("pictures of ours without an answer", lost, 0, "at most")]
