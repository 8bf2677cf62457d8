"""The tables of the link's README."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from benchmarks.markdown import Row, benchmarks_table, number, table
from benchmarks.results import read_results

EXTREMES = (
    "imagewoof112-vit-aligned",
    "imagewoof112-transformer-aligned",
    "easyvqa64-transformer-aligned",
    "easyvqa64-smollm2",
)
"""Models whose answers are waited for over slow, far and broken links."""


def _rows(found: Mapping[str, Any]) -> str:
    rows = found["rows"]
    deadlines = ", ".join(str(ms) for ms in dict.fromkeys(row["deadline_ms"] for row in rows))
    return f"{len({row['trace'] for row in rows})} links at {deadlines} ms"


def rules() -> str:
    """Both ways to choose a point beside the bound, in a sentence."""
    result = read_results("link", "rules")
    if result is None:
        return "`python -m benchmarks.link rules` was not run yet."
    rows = result["figures"]["rows"]

    def at_worst(way: str, figure: str) -> float:
        return float(max(row["clairvoyant"][figure] - row[way][figure] for row in rows))

    accuracy, met = ([at_worst(way, of) for way in ("two averages", "expected accuracy")] for of in ("accuracy", "met"))
    return (
        f"There the averages lie at worst {accuracy[0]:.1f} points of accuracy behind that schedule and meet "
        f"{met[0]:.1f} % fewer deadlines, the forecast {accuracy[1]:.1f} and {met[1]:.1f}."
    )


def _rules(found: Mapping[str, Any]) -> str:
    behind = max(row["clairvoyant"]["accuracy"] - row["two averages"]["accuracy"] for row in found["rows"])
    return f"{_rows(found)}; two averages with hysteresis lie up to {behind:.1f} points behind"


def _extremes(found: Mapping[str, Any]) -> str:
    served = [row for row in found["rows"] if "WebP" not in row["method"]]
    share = 100 * sum(row["served"] for row in served) / sum(row["pictures"] for row in served)
    return f"{len({row['link'] for row in served})} links; the server answered {share:.1f} % of the pictures"


ROWS = {
    "deadlines": Row("pictures over a relay on loopback, in seven ways and as well as can be", _rows),
    "kernel": Row("the same between network namespaces, shaped by the kernel", _rows),
    "families": Row("codebook families at the same time on the same links", _rows),
    **{
        f"extremes-{model}": Row(f"slow, far and broken links, with {model}", lambda found: _extremes(found))
        for model in EXTREMES
    },
    "rules": Row("the choice of the point alone, in simulated time", _rules),
}


def cells(name: str) -> str:
    """Accuracy in %, and in brackets how many of the deadlines were met in % of those that level 1 could meet."""
    result = read_results("link", name)
    if result is None:
        return f"`python -m benchmarks.link {name}` was not run yet."
    rows = result["figures"]["rows"]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    lines = []
    for trace, ms in dict.fromkeys((row["trace"], row["deadline_ms"]) for row in rows):
        of = {row["method"]: row for row in rows if (row["trace"], row["deadline_ms"]) == (trace, ms)}
        figures = [f"{of[method]['accuracy']:.1f} ({of[method]['met_where_possible']:.0f})" for method in methods]
        lines.append([trace, ms, *figures])
    return table(("trace", "ms", *methods), lines)


def families() -> str:
    """Each family's means over all links and deadlines."""
    result = read_results("link", "families")
    if result is None:
        return "`python -m benchmarks.link families` was not run yet."
    heads = ("family", "points", "accuracy, %", "named rightly, %", "deadlines met, %", "link unused, %", "bytes")
    return table(heads, [[number(value) for value in row.values()] for row in result["figures"]["means"]])


def extremes(model: str) -> str:
    """How long answers take, and their worth, by link and method."""
    result = read_results("link", f"extremes-{model}")
    if result is None:
        return f"`python -m benchmarks.link extremes --model models/{model}` was not run yet."
    heads = ("link", "method", "first answer, ms", "last, ms", "longest wait, ms", "within 1 s, %", "right, %", "bytes")
    keys = ("link", "method", "first_ms", "last_ms", "longest_ms", "in_time", "right", "bytes")
    rows = result["figures"]["rows"]
    return table(heads, [["" if row[key] is None else number(row[key]) for key in keys] for row in rows])


TABLES: dict[str, Callable[[], str]] = {
    "link": lambda: benchmarks_table("link", ROWS),
    "link two ways": rules,
    "link by family": families,
    "link by deadline": lambda: cells("deadlines"),
    "link by kernel": lambda: cells("kernel"),
    **{f"link extremes {model}": partial(extremes, model) for model in EXTREMES},
}
