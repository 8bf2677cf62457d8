"""The edge alone beside two halves and files, model by model, from what is committed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.accuracy.results import MODELS, read
from benchmarks.edge.worth import Costs, Setting
from benchmarks.results import read_results
from wire.exceptions import UsageError
from wire.manifest import MANIFEST, CodecFigures, Manifest, OperatingPoint
from wire.manifest_json import parse_manifest

NAMES = {"webp": "WebP", "jpeg": "JPEG", "avif": "AVIF"}
SPEEDUP, ROUND_TRIP_MS = 10, 20
"""Of the server over the measured core, and of the link: what the tables take for given."""


def setting(slowdown: float) -> Setting:
    """Of an edge so many times slower than the measured core."""
    return Setting(slowdown, SPEEDUP, ROUND_TRIP_MS)


@dataclass(frozen=True)
class Measured:
    """A model's row of `cost`, with its manifest."""

    manifest: Manifest
    row: Mapping[str, Any]
    quality: Mapping[str, int]
    """Of each codec's file."""

    @property
    def file(self) -> CodecFigures:
        """The WebP file whose making was timed.

        Raises:
            UsageError: if the model was never measured behind it.
        """
        size, quality = self.manifest.preprocessing.size, self.quality["webp"]
        found = next((f for f in self.manifest.codec if (f.side, f.quality) == (size, quality)), None)
        if found is None:
            raise UsageError(
                f"{self.manifest.name} has no figures of WebP files of quality {quality}; give it some with "
                "`artoveq export`, or leave it out of `python -m benchmarks.edge cost`."
            )
        return found

    @property
    def as_right(self) -> OperatingPoint:
        """The cheapest point that is as often right as the network behind that file; else the best one."""
        points = self.manifest.points
        enough = [point for point in points if point.metric >= self.file.metric]
        return min(enough, key=lambda p: p.mean_bytes) if enough else max(points, key=lambda p: p.metric)

    @property
    def costs(self) -> Costs:
        """Where both are as often right."""
        ms = self.row["ms"]
        sent = self.as_right.mean_bytes, self.file.payload_bytes
        return Costs(ms["edge"], ms["server"], ms["whole"], ms["webp"], *sent)

    def rows(self) -> list[tuple[str, float, float, str]]:
        """What answers, with its bytes, how often it is right, and the part of `cost` that the edge pays for it."""
        manifest, found = (
            self.manifest,
            [("the whole network on the edge", 0.0, self.manifest.unquantised_metric, "whole")],
        )
        if manifest.local_head is not None:
            found.append(("point 0, the edge alone", 0.0, manifest.local_head.metric, "encode"))
        best = max(manifest.points, key=lambda p: (p.metric, -p.mean_bytes))
        first = [manifest.point(n) for level, n in manifest.levels.items() if level == 1]
        for point in sorted({p.sizes: p for p in (*first, self.as_right, best)}.values(), key=lambda p: p.mean_bytes):
            found.append(("artoveq", point.mean_bytes, point.metric, "edge"))
        found.append((self._named("webp"), self.file.payload_bytes, self.file.metric, "webp"))
        return [*found, *((self._named(codec), *figures, codec) for codec, figures in self._other_files().items())]

    def _named(self, codec: str) -> str:
        return f"{NAMES[codec]} of quality {self.quality[codec]} to the whole network"

    def _other_files(self) -> dict[str, tuple[float, float]]:
        """Bytes and top-1 of the codecs that were measured behind this model's profile."""
        profile, found = self.manifest.name.removesuffix(f"-{self.manifest.family}"), {}
        results = read()
        for codec in ("jpeg", "avif"):
            for row in results.get(f"{profile}/{codec}/0", {"test": ()})["test"]:
                if (row["side"], row["quality"]) == (self.manifest.preprocessing.size, self.quality[codec]):
                    found[codec] = float(row["payload_bytes"]), float(row["as it is"]["top1"])
        return found


def measured() -> list[Measured]:
    """The models that `cost` was last run of; none where it was not."""
    result = read_results("edge", "cost")
    if result is None:
        return []
    figures, found = result["figures"], []
    for row in figures["rows"]:
        path = MODELS / row["model"] / MANIFEST
        found.append(Measured(parse_manifest(path.read_bytes(), str(path)), row, figures["quality"]))
    return found
