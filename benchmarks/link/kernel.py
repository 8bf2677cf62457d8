"""The same traces between network namespaces, where the kernel's token bucket shapes each edge's uplink.

A token bucket lets the first packet after a pause pass at once, so that there is no bound here; there is no delay.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.link.drive import AROUND_BYTES, METHODS, drive, method_of, period_of, summary
from benchmarks.link.traces import trace
from benchmarks.namespaces import PORT, UPLINK, Edge, inside, namespaces, server_in_namespace
from edge_client import AsyncClient
from edge_client.transport.emulated import CapacityTrace
from wire.artifact import load_artifact
from wire.pictures import Picture, fit_picture

OVERHEAD_S = 0.012
"""What a picture is taken to need beside its bits, where traces are scaled."""
START_S = 12.0
MTU, BUCKET_BYTES, QUEUE_BYTES = 256, 300, 100_000
"""Small packets and the smallest bucket for them: else a whole picture would pass at once at any rate."""


def kernel(
    model: Path, pictures: Sequence[Picture], labels: Sequence[int], names: Sequence[str], budget: float, count: int
) -> list[dict[str, Any]]:
    """One row for each trace and method; along a trace all methods go at the same time, out of step."""
    manifest = load_artifact(model, edge=True).manifest
    nominal = 8 * (manifest.point(max(manifest.levels.values())).mean_bytes + AROUND_BYTES) / (budget - OVERHEAD_S)
    rows = []
    with (
        tempfile.TemporaryDirectory() as folder,
        namespaces(len(METHODS), MTU) as edges,
        server_in_namespace(model),
    ):
        file = Path(folder) / "pictures.npy"
        np.save(file, np.stack([fit_picture(picture, manifest.preprocessing.size) for picture in pictures]))
        for name in names:
            run = {
                "model": str(model),
                "pictures": str(file),
                "labels": list(map(int, labels)),
                "name": name,
                "budget": budget,
                "count": count,
            }
            rows += _along({**run, "nominal": nominal}, edges)
    return rows


def _along(run: dict[str, Any], edges: Sequence[Edge]) -> list[dict[str, Any]]:
    for edge in edges:
        subprocess.run(["tc", "-n", edge.namespace, "qdisc", "del", "dev", UPLINK, "root"], capture_output=True)
    began, period = time.monotonic() + START_S, period_of(run["budget"])
    processes = []
    for i, (edge, method) in enumerate(zip(edges, METHODS, strict=True)):
        phase = i * period / len(METHODS)
        said = json.dumps({**run, "server": edge.server, "method": method, "began": began, "phase": phase})
        command = [*inside(edge.namespace), sys.executable, "-m", "benchmarks.link.kernel", said]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    _shape(edges, trace(run["name"], run["nominal"], period), began, run["count"] * period)
    return [json.loads(process.communicate()[0]) for process in processes]


def _shape(edges: Sequence[Edge], shape: CapacityTrace, began: float, seconds: float) -> None:
    shapers = [
        subprocess.Popen(["tc", "-n", edge.namespace, "-batch", "-"], stdin=subprocess.PIPE, text=True)
        for edge in edges
    ]
    for at, rate in zip(shape.times, shape.rates, strict=True):
        if at > seconds:
            break
        time.sleep(max(0.0, began + at - time.monotonic()))
        for shaper in shapers:
            assert shaper.stdin is not None
            bucket = f"tbf rate {rate:.0f}bit burst {BUCKET_BYTES} limit {QUEUE_BYTES}"
            shaper.stdin.write(f"qdisc replace dev {UPLINK} root {bucket}\n")
            shaper.stdin.flush()
    for shaper in shapers:
        shaper.communicate()


async def _follow(
    model: str,
    pictures: str,
    labels: list[int],
    name: str,
    budget: float,
    count: int,
    nominal: float,
    server: str,
    method: str,
    began: float,
    phase: float,
) -> dict[str, Any]:
    """One method along one trace, in its edge's namespace."""
    shape, crops = trace(name, nominal, period_of(budget)), np.load(pictures)
    manifest = load_artifact(model, edge=True).manifest
    how = method_of(method, manifest)
    async with AsyncClient(f"{server}:{PORT}", model, policy=how.policy) as client:
        await asyncio.sleep(began - time.monotonic())
        ticks = await drive(client, how.mode, crops, labels, budget, phase, count)
        figures = summary(ticks, manifest, shape, budget, OVERHEAD_S)
    named = {"trace": name, "deadline_ms": round(1000 * budget), "method": method}
    return {**named, "kbit_nominal": round(nominal / 1000, 1), **figures}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_follow(**json.loads(sys.argv[1])))))
