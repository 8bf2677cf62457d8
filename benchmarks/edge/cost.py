"""Time and memory of the encoder on one core, beside the whole network's on the same core."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.results import Bar

ROUNDS, PICTURES = 7, 60
MOST = 0.5
"""Of the whole network's time and of its memory."""


def cost(model: Path) -> tuple[dict[str, Any], list[Bar]]:
    """Milliseconds a picture, interleaved in one process; memory of each in a process of its own."""
    from edge_client import Encoder
    from inference_server.decoder import OnnxDecoder
    from wire.artifact import load_artifact

    artifact = load_artifact(model)
    encoder, decoder = Encoder(artifact, threads=1), OnnxDecoder(artifact, threads=1)
    size, point = artifact.manifest.preprocessing.size, len(artifact.manifest.points)
    sizes = np.array([artifact.manifest.point(point).sizes], np.int32)
    picture = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    edge: list[float] = []
    whole: list[float] = []
    for _ in range(ROUNDS):
        for times, decode in ((edge, False), (whole, True)):
            began = time.perf_counter()
            for _ in range(PICTURES):
                indices = encoder.encode_batch(picture[None], point)
                if decode:
                    decoder.decode(indices, sizes, np.array([point]))
            times.append(1000 * (time.perf_counter() - began) / PICTURES)
    memory = {part: _memory(model, part) for part in ("encoder", "whole")}
    time_ratio = round(median(e / w for e, w in zip(edge, whole, strict=True)), 3)
    memory_ratio = round(memory["encoder"] / memory["whole"], 3)
    figures = {
        "model": artifact.manifest.name,
        "picture": size,
        "encoder_ms": round(median(edge), 3),
        "whole_ms": round(median(whole), 3),
        "time_ratio": time_ratio,
        "encoder_mib": memory["encoder"],
        "whole_mib": memory["whole"],
        "memory_ratio": memory_ratio,
        "encoder_file_mib": round(artifact.path("encoder.onnx").stat().st_size / 2**20, 2),
        "decoder_file_mib": round(artifact.path("decoder.onnx").stat().st_size / 2**20, 2),
    }
    bars = [
        Bar("encoder's time over the whole network's", time_ratio, MOST, "at most"),
        Bar("encoder's memory over the whole network's", memory_ratio, MOST, "at most"),
    ]
    return figures, bars


def _memory(model: Path, part: str) -> float:
    """MiB that loading and running it adds to a process that has imported ONNX Runtime."""
    command = [sys.executable, "-c", MEMORY, str(model), part]
    return float(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


MEMORY = """
import sys
import numpy as np
from edge_client import Encoder
from inference_server.decoder import OnnxDecoder
from wire.artifact import load_artifact

def resident():
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * 4096 / 2**20

artifact = load_artifact(sys.argv[1])
before, point = resident(), len(artifact.manifest.points)
sizes = np.array([artifact.manifest.point(point).sizes], np.int32)
encoder = Encoder(artifact, threads=1)
decoder = OnnxDecoder(artifact, threads=1) if sys.argv[2] == "whole" else None
size = artifact.manifest.preprocessing.size
for _ in range(20):
    indices = encoder.encode_batch(np.zeros((1, size, size, 3), np.uint8), point)
    if decoder:
        decoder.decode(indices, sizes, np.array([point]))
print(round(resident() - before, 1))
"""
