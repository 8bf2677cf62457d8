"""The tables of what an edge costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.markdown import Row, benchmarks_table, number, table
from benchmarks.results import read_results

NOT_RUN = "`python -m benchmarks.edge cost` was not run yet."
MADE = {"encode": "indices", "edge": "indices, and their payload", "whole": "the answer, with the whole network"}
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


TABLES: dict[str, Callable[[], str]] = {
    "edge": lambda: benchmarks_table("edge", ROWS),
    "edge encoder": encoder,
    "edge parts": parts,
}
