"""Accuracy for every byte, from none on: what the manifest says of point 0 and of prefixes of the chain."""

from __future__ import annotations

from typing import Any

from benchmarks.results import Bar
from wire.exceptions import UsageError
from wire.local_head import local_head_of
from wire.manifest import Manifest

RAW_BYTES = (0, 16, 24, 32, 48, 64, 104, 192, 512)
BARS = {0: 0.74}


def curve(manifest: Manifest) -> tuple[dict[str, Any], list[Bar]]:
    """The metric, measured on all test pictures when the artifact was made, by packed bytes.

    Raises:
        PointError: if the edge has no answer of its own.
        UsageError: if the model is not refinable.
    """
    if not manifest.refinable:
        raise UsageError(f"{manifest.name} is not refinable: it has no prefixes; name a progressive artifact.")
    head = local_head_of(manifest)
    rows = [{"raw_bytes": 0, "coded_bytes": 0.0, "accuracy": head.metric}]
    for raw in RAW_BYTES[1:]:
        point = next((p for p in map(manifest.point, manifest.chain) if p.payload_bytes == raw), None)
        if point is not None:
            rows.append({"raw_bytes": raw, "coded_bytes": round(point.mean_bytes, 1), "accuracy": point.metric})
    found = {row["raw_bytes"]: float(row["accuracy"]) for row in rows}
    bars = [Bar(f"accuracy at {raw} bytes", found[raw], least, "at least") for raw, least in BARS.items()]
    return {"model": manifest.name, "rows": rows}, bars
