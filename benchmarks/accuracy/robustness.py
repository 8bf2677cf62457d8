"""What poor cameras cost: accuracy and bytes of shipped artifacts, WebP to the same network beside them.

The pictures are changed as the encoder would be given them, at its size; kinds of ImageNet-C (Hendrycks & Dietterich
2019), made by `training.cameras`. All that is measured is what ships.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from artoveq.evaluation import BATCH, check_classes, console, decoded, encoded_at, fitted
from artoveq.scenarios import points_by_rate
from benchmarks.results import Bar, read_results
from edge_client import Encoder
from edge_client.codec import POINTS, write_webp
from inference_server.decoder import OnnxDecoder
from training.cameras import EFFECTS
from training.data import Split
from wire.artifact import Artifact
from wire.manifest import Manifest
from wire.pictures import Picture, open_picture

CLEAN = "none"
KINDS: dict[str, tuple[str, tuple[float, float, float]]] = {
    "noise": ("noise", (5, 10, 20)),
    "blur": ("blur", (0.5, 1.0, 1.5)),
    "JPEG": ("jpeg", (50, 25, 10)),
    "underexposed": ("exposure", (-0.5, -1.0, -2.0)),
    "overexposed": ("exposure", (0.5, 1.0, 1.5)),
    "white balance": ("white balance", (0.25, 0.5, 1.0)),
}
"""By the name in the table: an effect, and its strengths of three severities."""
LEVELS = (1, 4, 8)
"""Bits a sub-vector that are measured."""
MODEL, NOISY = "imagewoof64-compact-progressive", ("noise", 20)
LEAST_RIGHT, MOST_BYTES = 0.65, 1.1
"""Of its level 4 at that noise: right answers, and coded bytes beside those of the same pictures without it."""

Flags = NDArray[np.bool_]


def conditions() -> list[tuple[str, float]]:
    """Every kind at every strength, the plain pictures first."""
    return [(CLEAN, 0.0), *((kind, strength) for kind, (_, strengths) in KINDS.items() for strength in strengths)]


def changed(pictures: Picture, kind: str, strength: float) -> Picture:
    """Fitted pictures (B, S, S, 3) as a poor camera takes them; noise is drawn anew, from torch's generator."""
    if kind == CLEAN:
        return pictures
    effect = EFFECTS[KINDS[kind][0]]
    values = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    found = effect(values, torch.full((len(values),), float(strength)))
    as_bytes: Picture = found.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    return as_bytes


def robustness(artifacts: Sequence[Artifact], test: Split) -> tuple[dict[str, Any], list[Bar]]:
    """Rows of these artifacts, beside the committed rows of others that are still as they were measured.

    Raises:
        DataError: if the data set has other classes than one of them.
    """
    for artifact in artifacts:
        check_classes(artifact, test)
    found = {artifact.manifest.name: measured_rows(artifact, test) for artifact in artifacts}
    of = {artifact.manifest.name: artifact.manifest.fingerprint for artifact in artifacts}
    earlier = (read_results("accuracy", "robustness") or {"figures": {"rows": [], "fingerprints": {}}})["figures"]
    kept = {name: fingerprint for name, fingerprint in earlier["fingerprints"].items() if name not in of}
    rows = [row for row in earlier["rows"] if row["model"] in kept]
    rows += [row for name in sorted(found) for row in found[name]]
    return {"pictures": len(test), "rows": rows, "fingerprints": kept | of}, bars(rows)


def bars(rows: Iterable[Mapping[str, Any]]) -> list[Bar]:
    """Of `MODEL`, at sensor noise, level 4."""
    found = []
    for row in rows:
        if (row["model"], row["camera"], row["strength"]) == (MODEL, *NOISY):
            found.append(Bar("right at noise 20, level 4", row["level 4"], LEAST_RIGHT, "at least"))
            found.append(Bar("bytes at noise 20, of clean ones'", row["bytes of clean"], MOST_BYTES, "at most"))
    return found


def measured_rows(artifact: Artifact, test: Split) -> list[dict[str, Any]]:
    """What one artifact makes of every condition: top-1 by level, mean coded bytes of level 4, WebP of as many."""
    manifest = artifact.manifest
    encoder, decoder = Encoder(artifact), OnnxDecoder(artifact)
    points = points_at(manifest, LEVELS)
    pictures = np.concatenate(list(fitted(encoder, test)))
    webp = webp_of(pictures, manifest.point(points[4]).mean_bytes)
    rows: list[dict[str, Any]] = []
    for kind, strength in track(conditions(), description=manifest.name, console=console, transient=True):
        torch.manual_seed(0)
        right: dict[str, list[Flags]] = {}
        sent: list[int] = []
        files: list[int] = []
        for start in range(0, len(test), BATCH):
            these = changed(pictures[start : start + BATCH], kind, strength)
            labels = test.labels[start : start + BATCH]
            for level, (point, indices) in zip(points, encoded_at(encoder, these, list(points.values())), strict=True):
                answers = decoded(decoder, encoder.codec, indices, point)
                right.setdefault(f"level {level}", []).append(answers.argmax(1) == labels)
                if level == 4:
                    sent += [len(encoder.codec.write_block(one, point)[0]) for one in indices]
            if manifest.local_head is not None:
                right.setdefault("point 0", []).append(encoder.answer_batch(these)[1].argmax(1) == labels)
            written = [write_webp(picture, webp[0], webp[1]) for picture in these]
            files += map(len, written)
            arrived = np.stack([encoder.fit(open_picture(file).read()) for file in written])
            best = len(manifest.points)
            answers = decoded(decoder, encoder.codec, encoder.encode_batch(arrived, best), best)
            right.setdefault("WebP", []).append(answers.argmax(1) == labels)
        top1 = {name: round(float(np.concatenate(flags).mean()), 4) for name, flags in right.items()}
        coded, clean = float(np.mean(sent)), rows[0]["bytes, level 4"] if rows else float(np.mean(sent))
        rows.append(
            {
                "model": manifest.name,
                "camera": kind,
                "strength": strength,
                "point 0": top1.get("point 0", "–"),
                **{f"level {level}": top1[f"level {level}"] for level in LEVELS},
                "bytes, level 4": round(coded, 1),
                "bytes of clean": round(coded / clean, 3),
                "WebP": top1["WebP"],
                "bytes, WebP": round(float(np.mean(files)), 1),
            }
        )
    return rows


def points_at(manifest: Manifest, levels: Sequence[int]) -> dict[int, int]:
    """The numbers of the points that take so many bits a sub-vector."""
    of_rate = points_by_rate(manifest)
    return {level: manifest.points.index(of_rate[float(level)]) + 1 for level in levels}


def webp_of(pictures: Picture, least: float) -> tuple[int, int]:
    """Side and quality of the smallest WebP files that take as many bytes on average, or else of the largest."""
    sample, side = pictures[: 4 * BATCH], pictures.shape[1]
    found = []
    for share, quality in POINTS:
        size = float(np.mean([len(write_webp(picture, round(share * side), quality)) for picture in sample]))
        found.append((size, (round(share * side), quality)))
    found.sort()
    return next((point for size, point in found if size >= least), found[-1][1])


def classifiers(artifacts: Iterable[Artifact], classes: Sequence[str]) -> list[Artifact]:
    """Those that tell these classes apart."""
    return [one for one in artifacts if list(one.manifest.task.classes) == list(classes)]
