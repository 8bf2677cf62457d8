"""The cases: what each is run as, what it costs, and its bar."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.results import Bar
from benchmarks.service.attacks.edges import EDGES
from benchmarks.service.attacks.facts import FACTS
from benchmarks.service.attacks.floods import FLOODS
from benchmarks.service.attacks.rounds import attacked
from wire.exceptions import UsageError

NAMES = (*FLOODS, *FACTS, *EDGES)
RATIO, RATIO_OF = 1.5, {"slow_pictures": 2.0}
"""Of the honest p99 under attack over that beside a sink."""
LEAST_ANSWERS, LEAST_CHECKS = 2000, 15
"""Honest answers, and checks of each port's health, in an attack: the slowest of fewer says little."""
MOST_GROWTH_MIB, LONGEST_CHECK_S, MOST_LOG_LINES_S = 256.0, 1.0, 20.0
GROWTH_OF_MIB = {"slow_pictures": 512.0}
"""Where large pictures are read: what `picture_memory_bytes` allows them."""
EDGE_S, EDGE_MIB = 10.0, 400.0
"""How long an edge takes to say why it will not, and in how much memory."""
NEVER_S = 1000.0
FACT_S = {"revocation": 2.0, "deadlines": 10.0, "sigterm": 5.0, "endless_retry": 70.0}
"""Facts that are times. The others count faults, of which there are none."""


async def attacks(model: Path, names: tuple[str, ...], rounds: int, seconds: float) -> tuple[dict[str, Any], list[Bar]]:
    """The cases of these names, or all.

    Raises:
        UsageError: if there is no case of a name.
    """
    if unknown := set(names) - set(NAMES):
        raise UsageError(f"There is no attack {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}.")
    chosen = [name for name in NAMES if name in (names or NAMES)]
    floods, edges = dict[str, Any](), dict[str, Any]()
    for name in chosen:
        if name in FLOODS:
            floods[name] = await attacked(name, model, rounds, seconds)
            print(f"{name}: {floods[name]['p99_ratio']}", file=sys.stderr, flush=True)  # it takes minutes
        elif name in EDGES:
            edges[name] = await EDGES[name](model)
    patient = [name for name in chosen if name in FACTS]
    facts = dict(zip(patient, await asyncio.gather(*(FACTS[name](model) for name in patient)), strict=True))
    figures = {"rounds": rounds, "seconds": seconds, "floods": floods, "edges": edges, "facts": facts}
    return figures, [*_flood_bars(floods, rounds * seconds), *_edge_bars(edges), *_fact_bars(facts)]


def _flood_bars(found: Mapping[str, Mapping[str, Any]], seconds: float) -> list[Bar]:
    bars = [
        Bar(f"{name}: honest p99 over that beside a sink", one["p99_ratio"], RATIO_OF.get(name, RATIO), "at most")
        for name, one in found.items()
    ]
    if not found:
        return bars
    least = {
        "honest answers, fewest of an attack": (min(one["answers"] for one in found.values()), LEAST_ANSWERS),
        "checks of a port's health, fewest of an attack": (
            min(one["health_checks"] for one in found.values()), LEAST_CHECKS
        ),
    }  # fmt: skip
    most = {
        "honest pictures failed": (sum(one["failed"] for one in found.values()), 0),
        "wrong answers": (sum(one["wrong"] for one in found.values()), 0),
        "servers that ended": (sum(one["server_ended"] for one in found.values()), 0),
        "growth of a server, MiB": (
            max((one["memory_growth_mib"] for name, one in found.items() if name not in GROWTH_OF_MIB), default=0.0),
            MOST_GROWTH_MIB,
        ),
        "longest check of HTTP's health, s": (max(one["longest_healthz_s"] for one in found.values()), LONGEST_CHECK_S),
        "longest check of gRPC's health, s": (
            max(one["longest_grpc_health_s"] for one in found.values()), LONGEST_CHECK_S
        ),
        "lines in a log, each second": (
            round(max(one["log_lines"] for one in found.values()) / seconds, 1), MOST_LOG_LINES_S
        ),
    }  # fmt: skip
    for name in GROWTH_OF_MIB.keys() & found.keys():
        most[f"{name}: growth of a server, MiB"] = (found[name]["memory_growth_mib"], GROWTH_OF_MIB[name])
    return [
        *bars,
        *(Bar(name, value, limit, "at least") for name, (value, limit) in least.items()),
        *(Bar(name, value, limit, "at most") for name, (value, limit) in most.items()),
    ]


def _edge_bars(found: Mapping[str, Mapping[str, Any]]) -> list[Bar]:
    """An edge that never says why has taken for ever."""
    bars = []
    for name, one in found.items():
        seconds = one["seconds"] if one["refused"] else max(one["seconds"], NEVER_S)
        bars.append(Bar(f"{name}: seconds to a sentence", seconds, EDGE_S, "at most"))
    if not found:
        return bars
    return [
        *bars,
        Bar("memory of an edge, MiB", max(one["memory_mib"] for one in found.values()), EDGE_MIB, "at most"),
        Bar("bytes of an edge's files that left it", sum(one["leaked_bytes"] for one in found.values()), 0, "at most"),
    ]


def _fact_bars(found: Mapping[str, Mapping[str, Any]]) -> list[Bar]:
    return [
        Bar(f"{name}: seconds", one["seconds"], FACT_S[name], "at most")
        if name in FACT_S
        else Bar(f"{name}: faults", one["faults"], 0, "at most")
        for name, one in found.items()
    ]
