"""The table of what the edge costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.markdown import Row, benchmarks_table, number


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

TABLES: dict[str, Callable[[], str]] = {"edge": lambda: benchmarks_table("edge", ROWS)}
