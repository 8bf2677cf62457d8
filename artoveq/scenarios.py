"""Dynamic channels: what a family of models delivers when the rate changes from picture to picture.

In every slot the channel carries b bits a sub-vector with probability ∝ exp(κ·b), b = 1..L; a model
answers with the highest of its levels that fits, and a picture for which none fits is lost
(ARTOVeQ, arXiv 2501.02521, Table I).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from wire.manifest import Manifest, OperatingPoint

MAX_LEVEL = 8
KAPPA = {"S1": 0.0, "S2": -0.25, "S3": 0.25}


def rate_probabilities(scenario: str, max_level: int = MAX_LEVEL) -> dict[int, float]:
    """Probability of each rate b in bits a sub-vector."""
    weights = {b: math.exp(KAPPA[scenario] * b) for b in range(1, max_level + 1)}
    total = sum(weights.values())
    return {b: weight / total for b, weight in weights.items()}


def points_by_rate(manifest: Manifest) -> dict[float, OperatingPoint]:
    """A model's points by bits a sub-vector; of two with one rate, the whole level counts."""
    points = {8 * point.payload_bytes / manifest.sub_vectors: point for point in manifest.points}
    return points | {float(level): manifest.point(number) for level, number in manifest.levels.items()}


def delivered(metric: Mapping[float, float], scenario: str, max_level: int = MAX_LEVEL) -> float:
    """Expected metric of a model with these rates; a rate below its lowest one loses the picture."""
    expected = 0.0
    for rate, probability in rate_probabilities(scenario, max_level).items():
        carried = [own for own in metric if own <= rate]
        expected += probability * (metric[max(carried)] if carried else 0.0)
    return expected


def best_single(metric: Mapping[float, float], scenario: str, max_level: int = MAX_LEVEL) -> float:
    """The best that one single-rate model of these can deliver."""
    return max(delivered({level: value}, scenario, max_level) for level, value in metric.items())
