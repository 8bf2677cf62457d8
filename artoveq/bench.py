"""`artoveq bench`: what a model costs and gives from this machine over this link, as one JSON object."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from artoveq import __version__
from artoveq.demo.camera import LABEL, SAMPLE
from edge_client import Client, Result
from edge_client.modes import Mode
from edge_client.report import CODEC_QUALITY, file_bytes
from wire.exceptions import PictureError
from wire.pictures import Picture, pictures_in, read_picture

PICTURES = 30
"""Where there is no folder: of the sample."""


def bench(client: Client, mode: Mode, budget: float, folder: Path | None, most: int) -> dict[str, Any]:
    """Sends pictures one by one. folder: has one folder a class, named as the model names them; None: the sample.

    Raises:
        PictureError: if there is no picture in it.
    """
    results: list[tuple[str, Result]] = []
    files: dict[str, list[int]] = {"JPEG": [], "WebP": []}
    for label, picture in _labelled(folder, most):
        results.append((label, client.predict(picture, mode, budget=budget)))
        fitted = client.encoder.fit(picture)
        for codec, sizes in files.items():
            sizes.append(len(file_bytes(fitted, codec)))
    manifest, answers = client.encoder.manifest, [one for _, one in results]
    known = set(manifest.task.classes)
    labelled = [(label, one) for label, one in results if label in known]
    return {
        "artoveq": __version__,
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "provider": client.encoder.provider,
        },
        "model": {"name": manifest.name, "fingerprint": manifest.fingerprint},
        "mode": repr(mode),
        "budget_ms": round(1000 * budget, 2),
        "pictures": len(answers),
        "answered_by_the_edge": sum(one.local for one in answers),
        "answered_in_time": sum(one.deadline_met for one in answers),
        "accuracy": round(sum(one.best.name == label for label, one in labelled) / len(labelled), 4)
        if labelled
        else None,
        "pictures_of_known_class": len(labelled),
        "capacity_bits_per_second": None if client.capacity is None else round(client.capacity),
        "round_trip_ms": round(1000 * min(one.round_trip for one in answers), 2),
        "latency_ms": {
            "first_answer": _spread([1000 * one.timed.after for one in answers]),
            "last_answer": _spread([1000 * one.latency for one in answers]),
            "encode": _spread([1000 * one.encode for one in answers]),
            "queue": _spread([1000 * one.timed.queue for one in answers]),
            "decode": _spread([1000 * one.timed.decode for one in answers]),
            "link": _spread([1000 * _on_the_link(one) for one in answers]),
        },
        "bytes": {
            "payload": _spread([one.payload_bytes for one in answers]),
            **{f"{codec.lower()}_quality_{CODEC_QUALITY}": _spread(sizes) for codec, sizes in files.items()},
        },
    }


def _labelled(folder: Path | None, most: int) -> Iterator[tuple[str, Picture]]:
    if folder is None:
        sample = read_picture(SAMPLE)
        yield from ((LABEL, sample) for _ in range(min(PICTURES, most)))
        return
    paths = pictures_in(folder)
    if not paths:
        raise PictureError(f"The folder {folder} has no pictures in it; name one with a folder for each class.")
    step = max(1, len(paths) // most)  # of every class some
    for path in paths[::step][:most]:
        yield path.parent.name, read_picture(path)


def _on_the_link(result: Result) -> float:
    """What passed before the first answer beside the two halves' work, in seconds."""
    first = result.timed
    return max(0.0, first.after - result.encode - first.queue - first.decode)


def _spread(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "median": round(statistics.median(ordered), 2),
        "p95": round(ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))], 2),
        "mean": round(statistics.fmean(ordered), 2),
    }
