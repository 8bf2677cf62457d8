"""The plot of who answers soonest, drawn from committed results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Patch

from benchmarks.edge.beside import Measured, setting
from benchmarks.edge.worth import ALONE, FILE, SPLIT, soonest, ways

FIGURES = Path(__file__).parent / "figures"
COLOURS = {ALONE: "0.85", SPLIT: "C0", FILE: "C3"}
SLOWDOWNS = np.geomspace(1, 1000, 61)
KBIT = 1.0, 1e5


def draw(models: Sequence[Measured]) -> Path:
    """A panel for each model: links from left to right, slower edges further up, and who answers soonest."""
    with plt.rc_context(
        {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "artoveq"}
    ):
        figure, panels = plt.subplots(1, len(models), figsize=(3.4 * len(models), 3.2), sharey=True, squeeze=False)
        for axes, one in zip(panels[0], models, strict=True):
            begins: dict[str, list[float]] = {name: [] for name in COLOURS}
            for slowdown in SLOWDOWNS:
                turns = {way.name: rate for rate, way in soonest(ways(one.costs, setting(float(slowdown))))}
                nearest = KBIT[1]
                for name in reversed(COLOURS):  # who never is begins where the next one does
                    nearest = min(nearest, max(KBIT[0], turns.get(name, nearest)))
                    begins[name].append(nearest)
            ends = [*list(begins.values())[1:], [KBIT[1]] * len(SLOWDOWNS)]
            for (name, left), right in zip(begins.items(), ends, strict=True):
                axes.fill_betweenx(SLOWDOWNS, left, right, color=COLOURS[name], linewidth=0)
            axes.set(xscale="log", yscale="log", xlim=KBIT, ylim=(SLOWDOWNS[0], SLOWDOWNS[-1]), xlabel="link, kbit/s")
            axes.set_title(one.manifest.name, fontsize=8)
        panels[0][0].set_ylabel("edge, times slower than measured")
        keys = [Patch(color=colour, label=name) for name, colour in COLOURS.items()]
        panels[0][-1].legend(handles=keys, fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.02, 0.5))
        FIGURES.mkdir(exist_ok=True)
        path = FIGURES / "worth.svg"
        figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
        plt.close(figure)
    return path
