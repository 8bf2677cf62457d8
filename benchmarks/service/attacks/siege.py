"""Honest streams with known answers beside every flood in turn, for as long as is asked."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.results import Bar
from benchmarks.service.attacks.floods import FLOODS
from benchmarks.service.attacks.honest import Honest, Seen
from benchmarks.service.attacks.rounds import (
    LEVEL,
    LOG,
    OURS,
    SETTLE_S,
    THEIRS,
    WARM_S,
    attacker_of,
    authorized,
    cores,
    pinned,
    server_of,
)
from benchmarks.service.load import Payloads
from benchmarks.service.measure import resident_mib

LATE_MS = 1000.0
MOST_GROWTH = 1.03
"""Of the resident memory between attacks, median of the last quarter over that of the second.

The most of a quarter would say which large pictures were still being read when it was looked at.
"""


async def siege(model: Path, minutes: float, attack_s: float, seed: int) -> tuple[dict[str, Any], list[Bar]]:
    """Floods in a random order, all of them before one comes again, so many seconds each."""
    core, other = cores()
    payloads, rng = Payloads.make(model, LEVEL), random.Random(seed)
    payloads.expect(model)
    seen: dict[str, list[Seen]] = defaultdict(list)
    memory: list[float] = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(pinned(core))
        server = stack.enter_context(server_of(model, folder))
        async with Honest(server, payloads, authorized(OURS)) as honest:
            await honest.ask(WARM_S)
            until = time.monotonic() + 60 * minutes
            for name in itertools.chain.from_iterable(rng.sample(list(FLOODS), len(FLOODS)) for _ in itertools.count()):
                if time.monotonic() > until:
                    break
                async with attacker_of(name, other) as attacker:
                    target = {"port": server.port, "http_port": server.http_port, "model": str(model), "token": THEIRS}
                    await attacker.round(**target, seconds=0.0)
                    attacking = asyncio.create_task(attacker.round(**target, seconds=attack_s))
                    seen[name].append(await honest.ask(attack_s))
                    await attacking
                await asyncio.sleep(SETTLE_S)
                memory.append(resident_mib(server.process.pid))
        ended = server.process.poll() is not None
        lines = (folder / LOG).read_text().count("\n")
    return _found(seen, memory, ended, lines)


def _found(
    seen: dict[str, list[Seen]], memory: list[float], ended: bool, lines: int
) -> tuple[dict[str, Any], list[Bar]]:
    rounds = [one for some in seen.values() for one in some]
    late = {name: sum(ms > LATE_MS for one in some for ms in one.latency_ms) for name, some in seen.items()}
    failed, wrong = sum(one.failed for one in rounds), sum(one.wrong for one in rounds)
    quarter = max(1, len(memory) // 4)
    second, last = median(memory[quarter : 2 * quarter] or memory), median(memory[-quarter:])
    figures = {
        "attacks": len(rounds),
        "answered": sum(one.answered for one in rounds),
        "failed": failed,
        "wrong": wrong,
        "late": sum(late.values()),
        "late_by_attack": {name: count for name, count in late.items() if count},
        "p99_ms_by_attack": {
            name: round(median(one.percentile(99) for one in some), 1) for name, some in sorted(seen.items())
        },
        "longest_ms": round(max(one.percentile(100) for one in rounds), 1),
        "resident_mib": {"second_quarter": round(second, 1), "last_quarter": round(last, 1)},
        "resident_mib_between_attacks": [round(one) for one in memory],
        "growth": round(last / second, 4),
        "log_lines": lines,
    }
    bars = [
        Bar("memory between attacks, last quarter over the second", round(last / second, 4), MOST_GROWTH, "at most"),
        Bar("honest pictures failed or lost", failed, 0, "at most"),
        Bar("wrong answers", wrong, 0, "at most"),
        Bar(f"answers after more than {LATE_MS / 1000:g} s", sum(late.values()), 0, "at most"),
        Bar("servers that ended", int(ended), 0, "at most"),
    ]
    return figures, bars
