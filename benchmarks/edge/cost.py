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

ROUNDS, PICTURES = 7, 60


def cost(model: Path) -> dict[str, Any]:
    """Milliseconds a picture, interleaved in one process; memory of each in a process of its own."""
    from edge_client import Encoder
    from inference_server.decoder import OnnxDecoder
    from wire.artifact import load_artifact

    artifact = load_artifact(model)
    encoder, decoder = Encoder(artifact, threads=1), OnnxDecoder(artifact, threads=1)
    size, level = artifact.manifest.preprocessing.size, np.array([artifact.manifest.max_level])
    picture = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    edge: list[float] = []
    whole: list[float] = []
    for _ in range(ROUNDS):
        for times, decode in ((edge, False), (whole, True)):
            began = time.perf_counter()
            for _ in range(PICTURES):
                indices = encoder.encode(picture, int(level[0]))
                if decode:
                    decoder.decode(indices[None], level)
            times.append(1000 * (time.perf_counter() - began) / PICTURES)
    memory = {part: _memory(model, part) for part in ("encoder", "whole")}
    return {
        "model": artifact.manifest.name,
        "encoder_ms": round(median(edge), 3),
        "whole_ms": round(median(whole), 3),
        "time_ratio": round(median(e / w for e, w in zip(edge, whole, strict=True)), 3),
        "encoder_mib": memory["encoder"],
        "whole_mib": memory["whole"],
        "memory_ratio": round(memory["encoder"] / memory["whole"], 3),
        "encoder_file_mib": round(artifact.path("encoder.onnx").stat().st_size / 2**20, 2),
        "decoder_file_mib": round(artifact.path("decoder.onnx").stat().st_size / 2**20, 2),
    }


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
before, level = resident(), artifact.manifest.max_level
encoder = Encoder(artifact, threads=1)
decoder = OnnxDecoder(artifact, threads=1) if sys.argv[2] == "whole" else None
size = artifact.manifest.preprocessing.size
for _ in range(20):
    indices = encoder.encode(np.zeros((size, size, 3), np.uint8), level)
    if decoder:
        decoder.decode(indices[None], np.array([level]))
print(round(resident() - before, 1))
"""
