"""The tables of the link's README."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.markdown import Row, benchmarks_table, table
from benchmarks.results import read_results


def _rows(found: Mapping[str, Any]) -> str:
    rows = found["rows"]
    deadlines = ", ".join(str(ms) for ms in dict.fromkeys(row["deadline_ms"] for row in rows))
    return f"{len({row['trace'] for row in rows})} links at {deadlines} ms"


def _rules(found: Mapping[str, Any]) -> str:
    behind = max(row["clairvoyant"]["accuracy"] - row["two averages"]["accuracy"] for row in found["rows"])
    return f"{_rows(found)}; two averages with hysteresis lie up to {behind:.1f} points behind"


ROWS = {
    "deadlines": Row("pictures over a relay on loopback, in seven ways and as well as can be", _rows),
    "kernel": Row("the same between network namespaces, shaped by the kernel", _rows),
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


TABLES: dict[str, Callable[[], str]] = {
    "link": lambda: benchmarks_table("link", ROWS),
    "link by deadline": lambda: cells("deadlines"),
    "link by kernel": lambda: cells("kernel"),
}
