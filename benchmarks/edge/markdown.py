"""The table of what the edge costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.markdown import Row, benchmarks_table, number
from benchmarks.results import read_results


def _cost(found: Mapping[str, Any]) -> str:
    return (
        f"{found['encoder_ms']} of {found['whole_ms']} ms, {found['encoder_mib']} of {found['whole_mib']} MiB "
        f"a picture of {found['picture']}×{found['picture']}"
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
        return "`python -m benchmarks.edge cost` was not run yet."
    found, side = result["figures"], result["figures"]["picture"]
    return (
        f"One picture of {side}×{side} takes {found['encoder_ms']} ms of one core ({result['cpu']}), the whole network "
        f"{found['whole_ms']} ms; the encoder adds {found['encoder_mib']} MiB of memory, the whole network "
        f"{found['whole_mib']} MiB."
    )


TABLES: dict[str, Callable[[], str]] = {"edge": lambda: benchmarks_table("edge", ROWS), "edge encoder": encoder}
