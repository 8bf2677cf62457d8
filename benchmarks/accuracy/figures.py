"""The plots, drawn from committed results."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

from benchmarks.accuracy.results import NAMES, families, shipped
from benchmarks.accuracy.rows import CODECS, PICTURED, PROFILES
from wire.manifest import Manifest

FIGURES = Path(__file__).parent / "figures"
STYLE = {
    "fixed": ("k", "o"),
    "progressive": ("C0", "s"),
    "nested": ("C1", "^"),
    "mixed": ("C2", "."),
    "residual": ("C4", "v"),
    "long-progressive": ("C0", "*"),
    "long-nested": ("C1", "*"),
    "long-mixed": ("C2", "*"),
}
SHIPPED = {"progressive": "C9", "nested": "C7", "mixed": "C8", "rate-adaptive": "m", "aligned": "g"}
SHOWN_LEVELS = (1, 2, 4, 6, 8)
WHOLE, LOCAL = "the whole network on the edge, 0 bytes", "point 0, the edge alone, 0 bytes"
NO_BYTE = {WHOLE: "<", LOCAL: "X"}
"""What stands at the left edge of a plot, since its bytes have no logarithm."""

plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "artoveq"})


def draw(results: dict[str, dict[str, Any]]) -> list[Path]:
    """Draws every plot whose results are there."""
    FIGURES.mkdir(exist_ok=True)
    drawn = []
    trained = {family.profile for family in families(results)}
    for profile in sorted({name.split("/")[0] for name in results}):
        if profile not in trained and not shipped(profile):
            continue
        drawn += [_save(_rate_accuracy(results, profile), f"{profile}-rate-accuracy")]
        for family in PICTURED:
            if words := results.get(f"{profile}/{family}/0", {}).get("codewords"):
                drawn += [_save(_codebook(words, f"{profile}, {family}"), f"{profile}-{family}-codebook")]
    return drawn


def _save(figure: Any, name: str) -> Path:
    path = FIGURES / f"{name}.svg"
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)
    return path


def _rate_accuracy(results: dict[str, dict[str, Any]], profile: str) -> Any:
    """Bytes a picture on a log axis: our families, codecs as they are and fine-tuned for, the paper's mean; no byte."""
    figure, axes = plt.subplots(figsize=(8.5, 4.5))
    for family in families(results):
        if family.profile != profile or family.family not in STYLE:
            continue
        one_level = _bytes_of_a_level(results, profile)
        rates = sorted(set.union(*(set(r) for r in family.seeds.values())))
        tops = [100 * mean(r[rate] for r in family.seeds.values() if rate in r) for rate in rates]
        colour, marker = STYLE[family.family]
        label = f"{NAMES[family.family]}, {len(family.seeds)} seed(s)"
        axes.plot([one_level * r for r in rates], tops, color=colour, marker=marker, markersize=4, label=label)
    for manifest in shipped(profile):
        _draw_shipped(axes, manifest)
    _draw_without_a_byte(axes, results, profile)
    for colour, codec in zip(("C3", "C5", "C6"), CODECS, strict=True):
        if (result := results.get(f"{profile}/{codec}/0")) is None:
            continue
        for network, line in (("as it is", ":"), ("fine-tuned", "--")):
            points = sorted((row["payload_bytes"], 100 * row[network]["top1"]) for row in result["test"])
            axes.plot(*zip(*_best_so_far(points), strict=True), line, color=colour, label=f"{codec}, network {network}")
    paper = json.loads((PROFILES.parent / "paper.json").read_text())
    for name, theirs in paper.items():
        if isinstance(theirs, dict) and "bytes_per_level" in theirs and name.split("-")[0] == profile.split("-")[0]:
            for kind in ("fixed", "nested", "progressive"):
                span = [theirs["bytes_per_level"], 8 * theirs["bytes_per_level"]]
                axes.plot(span, [100 * theirs[kind]["S1"]] * 2, color=STYLE[kind][0], alpha=0.4, linewidth=1)
                axes.annotate(f"paper, {kind} (mean)", (span[0], 100 * theirs[kind]["S1"] + 0.4), fontsize=7)
    axes.set(xscale="log", xlabel="bytes a picture", ylabel="top-1 on the test pictures, %", title=profile)
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def _draw_shipped(axes: Any, manifest: Manifest) -> None:
    """Whole levels as diamonds; a refinable model's stream, or points of other sizes, as a line of dots."""
    levels = list(manifest.levels.values())
    finer = list(manifest.chain) or list(range(1, len(manifest.points) + 1))
    curves: dict[str, tuple[list[int], dict[str, Any]]] = {
        "whole levels": (levels, {"marker": "D", "markersize": 4, "linestyle": "-."})
    }
    if len(finer) > len(levels):
        curves[f"{len(finer)} points"] = (finer, {"marker": ".", "markersize": 3, "linewidth": 1})
    for what, (numbers, style) in curves.items():
        points = [manifest.point(number) for number in numbers]
        axes.plot(
            [point.mean_bytes for point in points],
            [100 * point.metric for point in points],
            color=SHIPPED[manifest.family],
            label=f"{manifest.name}, {what}",
            **style,
        )


def _draw_without_a_byte(axes: Any, results: dict[str, dict[str, Any]], profile: str) -> None:
    """Shipped models, in their colours, and rows whose unquantised network was measured, in their families'."""
    found = []
    for manifest in shipped(profile):
        found.append((WHOLE, SHIPPED[manifest.family], manifest.unquantised_metric))
        if manifest.local_head is not None:
            found.append((LOCAL, SHIPPED[manifest.family], manifest.local_head.metric))
    for family in STYLE:
        rows = results.get(f"{profile}/{family}/0", {}).get("test", ())
        found += [(WHOLE, STYLE[family][0], row["top1"]) for row in rows if not row["allocation"]]
    place: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "clip_on": False, "linestyle": "none"}
    for what, marker in NO_BYTE.items():
        for nth, (colour, top1) in enumerate((colour, top1) for kind, colour, top1 in found if kind == what):
            label = None if nth else what
            axes.plot(0, 100 * top1, marker=marker, markersize=6, color=colour, alpha=0.8, label=label, **place)


def _bytes_of_a_level(results: dict[str, dict[str, Any]], profile: str) -> float:
    rows = (row for name, r in results.items() if name.startswith(f"{profile}/") for row in r.get("held_out", ()))
    return next(float(row["payload_bytes"] / mean(row["allocation"])) for row in rows if row["allocation"])


def _best_so_far(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no smaller file beats."""
    kept: list[tuple[float, float]] = []
    for size, top1 in points:
        if not kept or top1 > kept[-1][1]:
            kept.append((size, top1))
    return kept


def _codebook(words: dict[str, list[list[float]]], title: str) -> Any:
    """The codewords of one channel group, level by level, as in the paper's Fig. 5."""
    figure, panels = plt.subplots(1, len(SHOWN_LEVELS), figsize=(11, 2.5), sharex=True, sharey=True)
    for axes, level in zip(panels, SHOWN_LEVELS, strict=True):
        for earlier in (l for l in SHOWN_LEVELS if l <= level):
            shade = 0.15 + 0.85 * (earlier == level)
            points = words[str(earlier)]
            axes.scatter(
                *zip(*points, strict=True), s=40 / earlier, color="C0" if earlier == level else "C1", alpha=shade
            )
        axes.set_title(f"level {level}")
        axes.set_aspect("equal")
    figure.suptitle(title, y=1.05)
    return figure
