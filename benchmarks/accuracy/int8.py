"""What a decoder in int8 costs in accuracy, level by level, and gains in time on this processor."""

from __future__ import annotations

from typing import Any

import numpy as np

from artoveq.evaluation import BATCH, check_classes, decoded, encoded_at, fitted
from artoveq.scenarios import MAX_LEVEL
from benchmarks.accuracy.robustness import points_at
from benchmarks.results import Bar
from edge_client import Encoder
from inference_server.decoder import TRIAL_PICTURES, OnnxDecoder, has_vnni, trial
from training.data import Split
from wire.artifact import Artifact
from wire.exceptions import UsageError
from wire.manifest import INT8_DECODER

MOST_LOST = 0.003
"""Of right answers, at any level."""
LEAST_TIMES = 1.4
"""As fast as fp32, where the processor has VNNI."""


def int8(artifact: Artifact, test: Split) -> tuple[dict[str, Any], list[Bar]]:
    """Top-1 of both decoders at each level, on the same pictures, and milliseconds a picture on one core.

    Raises:
        UsageError: if the artifact has none in int8.
        DataError: if the data set has other classes than the artifact.
    """
    if not artifact.has(INT8_DECODER):
        raise UsageError(f"{artifact.manifest.name} has no decoder in int8; make one with `artoveq int8`.")
    check_classes(artifact, test)
    encoder, both = Encoder(artifact), [OnnxDecoder(artifact, 1, int8=int8) for int8 in (False, True)]
    points = points_at(artifact.manifest, range(1, MAX_LEVEL + 1))
    right = np.zeros((len(points), len(both)), int)
    for start, pictures in zip(range(0, len(test), BATCH), fitted(encoder, test), strict=True):
        labels = test.labels[start : start + BATCH]
        for row, (point, indices) in enumerate(encoded_at(encoder, pictures, list(points.values()))):
            answers = [decoded(decoder, encoder.codec, indices, point).argmax(1) for decoder in both]
            right[row] += [int((one == labels).sum()) for one in answers]
    rows = []
    for level, (fp32, own) in zip(points, (right / len(test)).tolist(), strict=True):
        rows.append({"level": level, "fp32": round(fp32, 4), "int8": round(own, 4), "lost": round(fp32 - own, 4)})
    taken = [1000 * trial(decoder, artifact.manifest) / TRIAL_PICTURES for decoder in both]
    figures = {
        "model": artifact.manifest.name,
        "pictures": len(test),
        "rows": rows,
        "vnni": has_vnni(),
        "fp32_ms_a_picture": round(taken[0], 3),
        "int8_ms_a_picture": round(taken[1], 3),
    }
    bars = [Bar("most that a level loses", max(float(row["lost"]) for row in rows), MOST_LOST, "at most")]
    if has_vnni():
        bars.append(Bar("times as fast", round(taken[0] / taken[1], 2), LEAST_TIMES, "at least"))
    return figures, bars
