"""The tables of what an edge costs, and of when it is worth it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.edge.beside import ROUND_TRIP_MS, SPEEDUP, Measured, measured, setting
from benchmarks.edge.worth import crossing_size, crossing_slowdown, soonest, ways
from benchmarks.markdown import Row, benchmarks_table, number, table
from benchmarks.results import read_results

NOT_RUN = "`python -m benchmarks.edge cost` was not run yet."
MADE = {"encode": "indices", "edge": "indices, and their payload", "whole": "the answer, with the whole network"}
SLOWDOWNS, LINKS = (1, 10, 30, 100), (16, 64, 1000)
"""Edges, in times of the measured core's milliseconds, and kbit/s."""
GIVEN = (
    f"A round trip takes {ROUND_TRIP_MS} ms beside the bytes, and the server is {SPEEDUP} times as fast as that core."
)
CODECS = {"webp": "a WebP file", "jpeg": "a JPEG file", "avif": "an AVIF file"}


def _cost(found: Mapping[str, Any]) -> str:
    row = found["rows"][0]
    ms, mib, macs = row["ms"], row["mib"], row["million_macs"]
    return (
        f"{macs['edge']} of {macs['whole']} million multiply-adds, {ms['encode']} of {ms['whole']} ms, {mib['encode']} "
        f"of {mib['whole']} MiB a picture of {row['picture']}×{row['picture']}"
    )


def _watch(found: Mapping[str, Any]) -> str:
    return (
        f"{number(found['results'])} of the {number(found['frames_taken'])} frames it took answered in "
        f"{found['seconds']:g} s, the median of them {found['age_ms']['median']} ms old when taken"
    )


ROWS = {
    "cost": Row("the encoder beside the whole network, on one core", _cost),
    "watch": Row("`artoveq watch` on a video at 30 frames a second over a link of 64 kbit/s", _watch),
}


def encoder() -> str:
    """What the encoder costs, in a sentence."""
    result = read_results("edge", "cost")
    if result is None:
        return NOT_RUN
    row = result["figures"]["rows"][0]
    ms, mib, side = row["ms"], row["mib"], row["picture"]
    return (
        f"One picture of {side}×{side} takes {ms['encode']} ms of one core ({result['cpu']}), the whole network "
        f"{ms['whole']} ms; the encoder adds {mib['encode']} MiB of memory, the whole network {mib['whole']} MiB."
    )


def parts() -> str:
    """What each part costs, model by model."""
    result = read_results("edge", "cost")
    if result is None:
        return NOT_RUN
    heads = ("model", "what the edge makes", "million multiply-adds", "ms of a core", "of the whole network's", "MiB")
    rows: list[Sequence[object]] = []
    for row in result["figures"]["rows"]:
        macs, ms, mib = (row[key] for key in ("million_macs", "ms", "mib"))
        for part in mib:
            counted = macs["whole" if part == "whole" else "edge"] if part in MADE else "–"
            made = MADE.get(part) or f"{CODECS[part]}, quality {result['figures']['quality'][part]}"
            rows.append((row["model"], made, counted, ms[part], f"{ms[part] / ms['whole']:.2f}", mib[part]))
    return table(heads, rows)


def beside(models: Sequence[Measured]) -> str:
    """The edge alone, point 0, two halves and files: bytes, how often they are right, and what the edge pays."""
    heads = ("model", "what answers", "bytes", "right, %", "million multiply-adds on the edge", "ms of a core", "MiB")
    rows: list[Sequence[object]] = []
    for one in models:
        macs, ms, mib = (one.row[key] for key in ("million_macs", "ms", "mib"))
        for what, sent, metric, part in one.rows():
            counted = macs["whole" if part == "whole" else "edge"] if part in MADE else "–"
            rows.append((one.manifest.name, what, f"{sent:,.0f}", f"{100 * metric:.1f}", counted, ms[part], mib[part]))
    return table(heads, rows) if rows else NOT_RUN


def worth() -> str:
    """Who answers soonest over which links, by how much slower the edge is than the measured core."""
    heads = ("model", "bytes", "WebP's bytes", *(_edge(slowdown) for slowdown in SLOWDOWNS))
    rows: list[Sequence[object]] = []
    for one in measured():
        sent = (f"{size:,.0f}" for size in (one.costs.payload_bytes, one.costs.file_bytes))
        rows.append((one.manifest.name, *sent, *(_turns(one, slowdown) for slowdown in SLOWDOWNS)))
    return f"{table(heads, rows)}\n\n{GIVEN}" if rows else NOT_RUN


def crossings() -> str:
    """From which edge, and from which size of the network, two halves answer before the edge alone does."""
    heads = ("model", "link", "edge, times slower", *(f"million multiply-adds, {_edge(s)}" for s in SLOWDOWNS[:2]))
    rows: list[Sequence[object]] = []
    for one in measured():
        macs = one.row["million_macs"]["whole"]
        for kbit in LINKS:
            slowdown = crossing_slowdown(one.costs, setting(1), kbit)
            sizes = [crossing_size(one.costs, setting(s), kbit) for s in SLOWDOWNS[:2]]
            cells = ["–" if size is None else f"{size * macs:,.0f}" for size in sizes]
            slower = "–" if slowdown is None else f"{slowdown:,.1f}"
            rows.append((f"{one.manifest.name} ({macs} million)", _kbit(kbit), slower, *cells))
    return f"{table(heads, rows)}\n\n{GIVEN}" if rows else NOT_RUN


def _turns(one: Measured, slowdown: float) -> str:
    turns = soonest(ways(one.costs, setting(slowdown)))
    return "<br>".join(f"from {_kbit(rate)} on {way.name}" if rate else way.name for rate, way in turns)


def _edge(slowdown: int) -> str:
    return "edge as measured" if slowdown == 1 else f"edge {slowdown} times slower"


def _kbit(rate: float) -> str:
    """With two digits that count."""
    value, unit = (rate / 1000, "Mbit/s") if rate >= 1000 else (rate, "kbit/s")
    return f"{float(f'{value:.2g}'):g} {unit}"


TABLES: dict[str, Callable[[], str]] = {
    "edge": lambda: benchmarks_table("edge", ROWS),
    "edge encoder": encoder,
    "edge parts": parts,
    "edge beside": lambda: beside(measured()[:1]),
    "edge beside, all": lambda: beside(measured()),
    "edge worth": worth,
    "edge crossings": crossings,
}
