"""What was trained, as one HTML page that needs nothing else: bytes and accuracy, confusions, calibration, misses."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from artoveq.evaluation import decoded, fitted, locally_answered, parts
from edge_client import Encoder
from inference_server.decoder import OnnxDecoder
from training.data import Split
from training.scores import reliability, scores
from wire.artifact import Artifact
from wire.manifest import Manifest

SHOWN_CLASSES, SHOWN_PAIRS, SHOWN_MISSES, SHOWN_POINTS = 30, 10, 12, 12
"""Classes in the matrix of confusions, beyond which pairs alone are shown; and so on."""
WHOLE, LOCAL = "the whole network on the edge", "point 0, the edge alone"
THUMBNAIL, QUALITY = 128, 80
STYLE: Any = {"svg.hashsalt": "artoveq", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}


@dataclass(frozen=True)
class Miss:
    """A picture, as a data address, with what it shows, what was said, and how probable each of these was."""

    picture: str
    shows: str
    said: str
    of_truth: float
    of_said: float


def report(artifact: Artifact, test: Split) -> str:
    """The page, in HTML. Of a model whose answers are no classes it has the curve alone."""
    manifest = artifact.manifest
    page: dict[str, Any] = {"manifest": manifest, "pictures": len(test), "curve": drawn(lambda f: _curve(f, manifest))}
    page["rows"] = _rows(manifest)
    if manifest.task.classes:
        probabilities = _answers(artifact, test)
        said, labels, classes = probabilities.argmax(1), test.labels, manifest.task.classes
        counts = np.zeros((len(classes), len(classes)), np.int64)
        np.add.at(counts, (labels, said), 1)
        page |= {
            "scores": scores(probabilities, labels),
            "pairs": confused(counts, classes),
            "confusions": drawn(lambda f: _confusions(f, counts, classes)) if len(classes) <= SHOWN_CLASSES else "",
            "calibration": drawn(lambda f: _calibration(f, *reliability(probabilities.max(1), said == labels))),
            "misses": misses(probabilities, test),
        }
        if manifest.local_head is not None:
            own = locally_answered(artifact, test)
            sure = own.max(1) >= np.median(own.max(1))
            page["sure"] = float((own.argmax(1) == labels)[sure].mean())
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(Path(__file__).with_suffix(".html").read_text()).render(page)


def _answers(artifact: Artifact, test: Split) -> NDArray[np.float32]:
    """Calibrated, at the best point that was measured: (N, classes)."""
    encoder, decoder, best = Encoder(artifact), OnnxDecoder(artifact), best_point(artifact.manifest)
    return np.concatenate([
        decoded(decoder, encoder.codec, encoder.encode_batch(pictures, best), best, part.asked)
        for part, pictures in zip(parts(test), fitted(encoder, test), strict=True)
    ])  # fmt: skip


def best_point(manifest: Manifest) -> int:
    """The number of the point whose answers are best, of those that were measured."""
    known = [(point.metric, number) for number, point in enumerate(manifest.points, 1) if not point.interpolated]
    return max(known)[1]


def _rows(manifest: Manifest) -> list[tuple[str, str, float]]:
    """Points evenly drawn from those worth their bytes, as (name, bytes, metric)."""
    worth: list[tuple[str, str, float]] = []
    for number, point in enumerate(manifest.points, 1):
        if not worth or point.metric > worth[-1][2]:
            worth.append((f"point {number}", f"{point.mean_bytes:.0f}", point.metric))
    chosen = np.unique(np.linspace(0, len(worth) - 1, SHOWN_POINTS).round().astype(int))
    own = [] if manifest.local_head is None else [(LOCAL, "0", manifest.local_head.metric)]
    return [*own, *(worth[i] for i in chosen), (WHOLE, "0", manifest.unquantised_metric)]


def confused(counts: NDArray[np.int64], classes: tuple[str, ...]) -> list[tuple[str, str, int, int]]:
    """The likeliest confusions of counts (shown, said): what is shown, what was said, how often, of how many."""
    wrong = counts * (1 - np.eye(len(classes), dtype=np.int64))
    order = wrong.ravel().argsort(kind="stable")[::-1][:SHOWN_PAIRS]
    pairs = [divmod(int(at), len(classes)) for at in order]
    return [(classes[i], classes[j], int(wrong[i, j]), int(counts[i].sum())) for i, j in pairs if wrong[i, j]]


def misses(probabilities: NDArray[np.floating], test: Split) -> list[Miss]:
    """The wrong answers whose pictures' own classes were the least probable."""
    said = probabilities.argmax(1)
    own = probabilities[np.arange(len(test)), test.labels]
    worst = [i for i in own.argsort(kind="stable") if said[i] != test.labels[i]][:SHOWN_MISSES]
    return [
        Miss(
            thumbnail(test.picture(i)),
            test.classes[test.labels[i]],
            test.classes[said[i]],
            own[i],
            probabilities[i, said[i]],
        )
        for i in worst
    ]


def thumbnail(picture: NDArray[np.uint8]) -> str:
    """A small JPEG as a data address."""
    image, data = Image.fromarray(picture), io.BytesIO()
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    image.save(data, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"


def drawn(draw: Callable[[Figure], None]) -> str:
    """A figure as a data address of an SVG."""
    with matplotlib.rc_context(STYLE):
        figure, data = Figure(layout="constrained"), io.BytesIO()
        draw(figure)
        figure.savefig(data, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(data.getvalue()).decode()}"


def _curve(figure: Figure, manifest: Manifest) -> None:
    figure.set_size_inches(7.5, 3.6)
    axes = figure.subplots()
    points = sorted((point.mean_bytes, point.metric) for point in manifest.points)
    axes.plot(*zip(*points, strict=True), "o-", markersize=3, color="C0", label="this model")
    if manifest.codec:
        files = sorted((file.payload_bytes, file.metric) for file in manifest.codec)
        axes.plot(*zip(*files, strict=True), "s--", markersize=3, color="C1", label="WebP files, all on the server")
    axes.axhline(manifest.unquantised_metric, color="0.6", linewidth=1, label=f"{WHOLE}, no byte")
    if manifest.local_head is not None:
        axes.axhline(manifest.local_head.metric, color="C2", linewidth=1, linestyle=":", label=f"{LOCAL}, no byte")
    axes.set(xscale="log", xlabel="bytes a picture", ylabel=manifest.task.metric)
    axes.legend(frameon=False)


def _confusions(figure: Figure, counts: NDArray[np.int64], classes: tuple[str, ...]) -> None:
    side = 2.5 + 0.28 * len(classes)
    figure.set_size_inches(side, side)
    axes = figure.subplots()
    axes.imshow(counts / np.maximum(1, counts.sum(1, keepdims=True)), cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            dark = count > counts[row].sum() / 2
            axes.text(column, row, str(count), ha="center", va="center", fontsize=7, color="w" if dark else "k")
    names = [name if len(name) <= 20 else f"{name[:19]}…" for name in classes]
    axes.set_xticks(range(len(classes)), names, rotation=90)
    axes.set_yticks(range(len(classes)), names)
    axes.set(xlabel="said", ylabel="shown")


def _calibration(
    figure: Figure, confidence: NDArray[np.floating], right: NDArray[np.floating], count: NDArray[np.integer]
) -> None:
    figure.set_size_inches(3.6, 3.6)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1)
    axes.scatter(confidence, right, s=4 + 200 * count / count.sum(), color="C0", alpha=0.8)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="said to be right", ylabel="is right", aspect="equal")
