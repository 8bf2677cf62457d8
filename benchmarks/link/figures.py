"""The plot of the deadlines, drawn from committed results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

FIGURES = Path(__file__).parent / "figures"
STYLE: dict[str, dict[str, Any]] = {
    "clairvoyant": {"marker": "_", "color": "k", "markersize": 16, "markeredgewidth": 1.5},
    "one-shot": {"marker": "o", "color": "C0", "markersize": 7},
    "progressive": {"marker": "D", "color": "C1", "markersize": 6},
    "level 1": {"marker": "1", "color": "0.45", "markersize": 7},
    "level 4": {"marker": "+", "color": "0.45", "markersize": 7},
    "level 8": {"marker": "x", "color": "0.45", "markersize": 6},
    "webp adapted": {"marker": "v", "color": "C3", "markersize": 5},
    "webp fixed": {"marker": "v", "color": "C3", "markersize": 5, "fillstyle": "none"},
}
LABELS = {"clairvoyant": "clairvoyant (a bound)"}
ASIDE = {"one-shot": -0.15, "progressive": 0.15}
"""Of a link's place, so that one does not hide the other."""


def draw(rows: Sequence[dict[str, Any]]) -> Path:
    """A panel for each deadline, in it each link, and on that every method's accuracy."""
    links = list(dict.fromkeys(row["trace"] for row in rows))
    deadlines = list(dict.fromkeys(row["deadline_ms"] for row in rows))
    with plt.rc_context(
        {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "artoveq"}
    ):
        figure, panels = plt.subplots(1, len(deadlines), figsize=(10, 3.6), sharey=True)
        for axes, deadline in zip(panels, deadlines, strict=True):
            for method, style in STYLE.items():
                found = {
                    r["trace"]: r["accuracy"] for r in rows if (r["deadline_ms"], r["method"]) == (deadline, method)
                }
                places = [links.index(link) + ASIDE.get(method, 0.0) for link in found]
                axes.plot(places, list(found.values()), linestyle="none", label=LABELS.get(method, method), **style)
            axes.set_xticks(range(len(links)), links, rotation=40, ha="right")
            axes.set_title(f"deadline {deadline} ms", fontsize=9)
            axes.grid(axis="y", alpha=0.3)
        panels[0].set_ylabel("accuracy, %; a late answer is wrong")
        panels[-1].legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.02, 0.5))
        FIGURES.mkdir(exist_ok=True)
        path = FIGURES / "deadlines.svg"
        figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
        plt.close(figure)
    return path
