"""Markdown from results: what `benchmarks.tables` puts into the READMEs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.results import read_results

SIGNS = {"at least": "≥", "at most": "≤"}


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("|" + "|".join(f" {cell} " if cell != "" else " " for cell in line) + "|" for line in lines)


def number(value: object) -> str:
    """As people read it: thousands apart, at most four digits behind the point."""
    if isinstance(value, float) and not value.is_integer():
        return f"{value:,.4f}".rstrip("0")
    return f"{value:,.0f}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class Row:
    """A benchmark in its area's table: what it does, and what it found beside its bars."""

    what: str
    found: Callable[[Mapping[str, Any]], str]


def benchmarks_table(area: str, rows: Mapping[str, Row]) -> str:
    """What each command does, its bars with their values, what it found, and where; commands never run say so."""
    lines = []
    for name, row in rows.items():
        what = f"**{name}**: {row.what}"
        if (result := read_results(area, name)) is None:
            lines.append((what, "", "not run yet", ""))
            continue
        bars = "<br>".join(
            f"{bar['name']}: **{number(bar['value'])}** ({_limit(bar)})" + ("" if bar["holds"] else ", missed")
            for bar in result["bars"]
        )
        lines.append((what, bars, row.found(result["figures"]), _where(result)))
    return table(("what", "bars", "found", "run"), lines)


def plain_table(result: Mapping[str, Any]) -> str:
    """The `rows` of any result, or its figures that are single values; then its bars, and where it was run."""
    figures = result["figures"]
    rows = figures.get("rows") or [{k: v for k, v in figures.items() if not isinstance(v, (dict, list))}]
    keys = [key for key, value in rows[0].items() if not isinstance(value, (dict, list))]
    lines = [[number(row.get(key, "")) for key in keys] for row in rows]
    parts = [table([key.replace("_", " ") for key in keys], lines)]
    if bars := result["bars"]:
        verdicts = [[bar["name"], number(bar["value"]), _limit(bar), "yes" if bar["holds"] else "no"] for bar in bars]
        parts.append(table(("bar", "value", "limit", "holds"), verdicts))
    return "\n\n".join([*parts, f"`{result['command']}`: {_where(result)}."])


def _limit(bar: Mapping[str, Any]) -> str:
    return f"{SIGNS[bar['kind']]} {number(bar['limit'])}"


def _where(result: Mapping[str, Any]) -> str:
    return f"{result['date']}, {result['commit']}, {result['cores']} cores of {result['cpu']}"
