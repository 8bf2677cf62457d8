"""The attacker's process: one attack, round after round as it is told to on standard input, a line of JSON each.

python -m benchmarks.service.attacks.attacker NAME CORE
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import sys
from typing import Any

from benchmarks.service.attacks.floods import FLOODS
from benchmarks.service.attacks.target import Target

GRACE_S = 1.0
"""How long acts may go on that were begun in time."""


async def attack(name: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """A round; what was done in it."""
    target, before = Target(**wanted), _cpu_s()
    async with target.stack:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(FLOODS[name](target), wanted["seconds"] + GRACE_S)
    target.books.cpu_s = round(_cpu_s() - before, 3)
    return target.books.as_json()


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def attacks(name: str) -> None:
    """Until standard input ends; on one event loop, since gRPC's threads outlive a round."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await attack(name, json.loads(line))), flush=True)


def main(name: str, core: int) -> None:
    """On this core, with all connections that the system allows."""
    os.sched_setaffinity(0, {core})
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(attacks(name))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
