"""Manifests of models that there are not, for what needs nothing else of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from wire.manifest import TABLES, Manifest, block_bytes
from wire.manifest_json import fingerprint_of, parse_manifest


def values_of(
    segments: Sequence[int],
    points: Sequence[Sequence[int]],
    *,
    positions: int = 4,
    chain: Sequence[Sequence[int]] = (),
    largest: int = 256,
    any_size: bool = False,
    coded: bool = False,
) -> dict[str, Any]:
    """manifest.json of a model with these points (sizes per segment), and this chain (segments per plane)."""
    sub_vectors = [groups * positions for groups in segments]
    values: dict[str, Any] = {
        "format_version": 2,
        "name": "none",
        "profile": "none",
        "family": "none",
        "dataset": "none",
        "latent": {"shape": [2 * sum(segments), positions, 1], "d": 2},
        "segments": list(segments),
        "largest_size": largest,
        "any_size": any_size,
        "points": [
            {
                "sizes": list(sizes),
                "payload_bytes": block_bytes(sub_vectors, sizes),
                "coded_bytes": None,
                "metric": 0.5,
                "temperature": 1.0,
                "interpolated": False,
            }
            for sizes in points
        ],
        "planes": [
            {"segments": list(refined), "payload_bytes": (sum(sub_vectors[s] for s in refined if s >= 0) + 7) // 8}
            for refined in chain
        ],
        "task": {"name": "classification", "metric": "top1", "classes": ["cat", "dog"]},
        "backbone": {},
        "preprocessing": {"size": 8},
        "unquantised_metric": 0.6,
        "recipe": {},
        "files": {TABLES: "0" * 64} if coded else {},
    }
    return signed(values)


def signed(values: dict[str, Any]) -> dict[str, Any]:
    """With the fingerprint that belongs to them."""
    return {**values, "fingerprint": fingerprint_of(values)}


def manifest_of(segments: Sequence[int], points: Sequence[Sequence[int]], **options: Any) -> Manifest:
    """As `values_of`, read and checked."""
    return parse_manifest(json.dumps(values_of(segments, points, **options)), "a manifest")


def chained(segments: Sequence[int], chain: Sequence[Sequence[int]], **options: Any) -> Manifest:
    """A refinable model whose points are the prefixes of the chain."""
    sizes, points = [1] * len(segments), []
    for refined in chain:
        for s in refined:
            sizes[s] *= 2
        points.append(list(sizes))
    return manifest_of(segments, points, chain=chain, **options)
