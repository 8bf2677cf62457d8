"""What the clairvoyant schedule knows: what each picture takes at each point, and what it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.link.clairvoyant import Clairvoyant
from benchmarks.link.drive import METHODS, period_of
from edge_client import Encoder
from edge_client.transport.emulated import CapacityTrace
from edge_client.transport.grpc import OVERHEAD_BYTES
from inference_server.decoder import OnnxDecoder
from wire.artifact import Artifact
from wire.pictures import Picture

LEAST_FIELDS_BYTES = 8
"""What the fields of a Payload message take beside its data, at least."""
NAME = "clairvoyant"


@dataclass(frozen=True)
class Known:
    """Of pictures at all points: bits on the link (N, P), by how much they are worth by the manifest, and rightly."""

    bits: NDArray[np.float64]
    metric: NDArray[np.float64]
    right: NDArray[np.float64]


def known(artifact: Artifact, pictures: Sequence[Picture], labels: Sequence[int]) -> Known:
    """Encodes and decodes every picture at every point; pictures have the encoder's size."""
    encoder, decoder, manifest = Encoder(artifact), OnnxDecoder(artifact), artifact.manifest
    codec, batch, count = encoder.codec, np.stack(list(pictures)), len(manifest.points)
    finest = encoder.encode_batch(batch, encoder.finest) if manifest.refinable else None
    taken, right = np.zeros((len(batch), count)), np.zeros((len(batch), count))
    for p in range(count):
        at = codec.at_point(finest, p + 1) if finest is not None else encoder.encode_batch(batch, p + 1)
        taken[:, p] = [len(codec.write_block(one, p + 1)[0]) for one in at]
        sizes = np.tile(codec.sizes(p + 1), (len(batch), 1))
        output = decoder.decode(at, sizes, np.full(len(batch), p + 1, np.int64))
        right[:, p] = output.argmax(1) == np.asarray(labels)
    metric = np.tile([point.metric for point in manifest.points], (len(batch), 1))
    return Known(8 * (taken + LEAST_FIELDS_BYTES + OVERHEAD_BYTES), metric, right)


def bound_row(
    of: Known, trace: CapacityTrace, budget: float, overhead_s: float, count: int, phases: Sequence[float]
) -> dict[str, Any]:
    """The best that any method could reach, whichever of these phases it has. overhead_s: the least there is."""
    rows, schedules = np.arange(count) % len(of.bits), []
    for phase in phases:
        taken = [phase + k * period_of(budget) for k in range(count)]
        by = {
            name: Clairvoyant(trace, of.bits[rows], values[rows], taken, budget, overhead_s)
            for name, values in (("accuracy", of.metric), ("right", of.right))
        }
        schedules.append(by)
    best = max(schedules, key=lambda by: by["accuracy"].bound)["accuracy"]
    sent = [(k, point) for k, point in enumerate(best.schedule) if point]
    around = LEAST_FIELDS_BYTES + OVERHEAD_BYTES
    return {
        "method": NAME,
        "pictures": count,
        "accuracy": round(100 * best.bound, 2),
        "right": round(100 * max(by["right"].bound for by in schedules), 2),
        "met": round(100 * len(sent) / count, 2),
        "met_where_possible": 100.0,
        "bytes": round(mean(of.bits[rows[k], point - 1] / 8 - around for k, point in sent), 1) if sent else 0.0,
        "switches": sum(a != b for (_, a), (_, b) in pairwise(sent)),
    }


ALL = (NAME, *METHODS)
