"""What an edge pays for an answer on one core: its half, the whole network, or a file of the picture for a server."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.edge.graphs import half, million_macs, whole_network
from benchmarks.edge.parts import ON_THE_EDGE, QUALITY, SERVER, opened, samples
from benchmarks.results import Bar
from wire.artifact import Artifact, load_artifact
from wire.manifest import DECODER, ENCODER

ROUNDS, PICTURES = 7, 30
MOST = 0.5
"""Of the whole network's time and of its memory."""


def cost(models: Sequence[Path]) -> tuple[dict[str, Any], list[Bar]]:
    """A row for each model; the bars are the first one's.

    Raises:
        ArtifactError: if a folder is no artifact.
    """
    rows = [row_of(load_artifact(model)) for model in models]
    bars = [
        Bar(f"encoder's {what} over the whole network's", rows[0][f"{what}_ratio"], MOST, "at most")
        for what in ("time", "memory")
    ]
    return {"quality": QUALITY, "rows": rows}, bars


def row_of(artifact: Artifact) -> dict[str, Any]:
    """Of a model: millions of multiply-adds, milliseconds of a core for a picture, and MiB of memory, by part.

    Ratios are of what gives the indices to the whole network.
    """
    whole = whole_network(artifact)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "whole.onnx"
        file.write_bytes(whole.SerializeToString())
        times = _times(artifact, file)
        memory = {part: _memory(artifact.folder, part, file) for part in ON_THE_EDGE}
    by_round = [e / w for e, w in zip(times["encode"], times["whole"], strict=True)]
    return {
        "model": artifact.manifest.name,
        "picture": artifact.manifest.preprocessing.size,
        "million_macs": {
            "edge": round(million_macs(half(artifact, ENCODER)), 1),
            "server": round(million_macs(half(artifact, DECODER)), 1),
            "whole": round(million_macs(whole), 1),
        },
        "ms": {part: round(median(found), 3) for part, found in times.items()},
        "mib": memory,
        "time_ratio": round(median(by_round), 3),
        "memory_ratio": round(memory["encode"] / memory["whole"], 3),
    }


def _times(artifact: Artifact, whole: Path) -> dict[str, list[float]]:
    """Milliseconds a picture, round by round, the parts in turns: of this process's own time, whatever else runs."""
    parts = {part: opened(part, artifact, whole) for part in (*ON_THE_EDGE, SERVER)}
    given = samples(artifact.manifest.preprocessing.size)
    pictures = [given[i % len(given)] for i in range(PICTURES)]
    times: dict[str, list[float]] = {part: [] for part in parts}
    for _ in range(ROUNDS):
        for part, do in parts.items():
            began = time.process_time()
            for picture in pictures:
                do(picture)
            times[part].append(1000 * (time.process_time() - began) / PICTURES)
    return times


def _memory(model: Path, part: str, whole: Path) -> float:
    """MiB that opening and doing it adds to a process that has imported what all parts need."""
    command = [sys.executable, "-c", MEMORY, str(model), part, str(whole)]
    return float(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


MEMORY = """
import sys
from pathlib import Path
from benchmarks.edge.parts import opened, samples
from wire.artifact import load_artifact

def resident():
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * 4096 / 2**20

model, part, whole = sys.argv[1:]
artifact = load_artifact(model)
picture = samples(artifact.manifest.preprocessing.size)[0]
before = resident()
do = opened(part, artifact, Path(whole))
for _ in range(20):
    do(picture)
print(round(resident() - before, 1))
"""
