"""Pictures a second through the servers of two checkouts, in turn: what a change costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.results import ROOT, Bar
from wire.exceptions import UsageError

LEAST = 0.97
"""Of the other checkout's pictures a second."""
SATURATE = """
import asyncio, json, sys
from pathlib import Path
from artoveq.processes import server_process
from benchmarks.service.load import Counts, Payloads, open_streams
from benchmarks.service.measure import settings
from benchmarks.service.throughput import LEVEL, ROUND_S, saturated

async def saturate(model, streams, batch):
    payloads, counts = Payloads.make(model, LEVEL), Counts()
    with settings(decoder_threads=1, batch_pictures=batch), server_process(model) as server:
        load = await open_streams(server.address, payloads, counts, streams)
        rates = [await saturated(load, counts, ROUND_S) for _ in range(3)]
    return {"pictures_a_second": max(rates[1:]), "failed": counts.failed}

print(json.dumps(asyncio.run(saturate(Path(sys.argv[1]), *map(int, sys.argv[2:])))))
"""
"""Runs in either checkout, by its own packages: what it imports is the same in both."""


def beside(other: Path, model: Path, streams: int, batch: int, pairs: int) -> tuple[dict[str, Any], list[Bar]]:
    """Alternating pairs; the second of each pair begins the next one, so that neither is always first.

    Raises:
        UsageError: if the other checkout has no environment, or its server cannot be measured.
    """
    checkouts = (ROOT, other.resolve())
    found: tuple[list[float], list[float]] = ([], [])
    failed = 0
    for pair in range(pairs):
        for which in (0, 1) if pair % 2 == 0 else (1, 0):
            one = _saturate(checkouts[which], model, streams, batch)
            found[which].append(one["pictures_a_second"])
            failed += one["failed"]
    ratios = [ours / theirs for ours, theirs in zip(*found, strict=True)]
    figures = {
        "other_commit": _commit(other),
        "model": model.name,
        "streams": streams,
        "pictures_a_second": round(median(found[0])),
        "other_pictures_a_second": round(median(found[1])),
        "pairs": [round(ratio, 3) for ratio in ratios],
        "ratio": round(median(ratios), 3),
    }
    bars = [
        Bar("pictures a second over the other checkout's", round(median(ratios), 3), LEAST, "at least"),
        Bar("pictures that failed", failed, 0, "at most"),
    ]
    return figures, bars


def _saturate(checkout: Path, model: Path, streams: int, batch: int) -> dict[str, Any]:
    python = checkout / ".venv" / "bin" / "python"
    if not python.exists():
        raise UsageError(f"{checkout} has no environment; run `uv sync --group dev` there.")
    words = [str(python), "-c", SATURATE, str(checkout / "models" / model.name), str(streams), str(batch)]
    done = subprocess.run(words, cwd=checkout, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UsageError(f"The server of {checkout} cannot be measured: {done.stderr.strip().splitlines()[-1:]}.")
    print(done.stdout.strip(), checkout, file=sys.stderr)
    return dict(json.loads(done.stdout))


def _commit(checkout: Path) -> str:
    words = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(words, cwd=checkout, capture_output=True, text=True, check=True).stdout.strip()
