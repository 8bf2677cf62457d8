"""What a picture costs: the event loop, beside another commit's; and all of a server's processes, however many."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from artoveq.processes import ServerProcess, server_process
from benchmarks.results import ROOT, Bar
from benchmarks.service.load import Counts, LoadStream, Payloads, open_streams
from benchmarks.service.measure import variables
from wire.exceptions import UsageError

LEVEL = 4
IN_FLIGHT = 2
WARM_S = 1.0
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
MOST_OF_LOOP = 0.6
"""Of the other commit's event loop."""
LEAST_SPREAD = 0.9
"""Of the pictures a CPU second, fewest over most."""
WORKERS = (1, 2, 4)


def loop_s(process: int) -> float:
    """CPU seconds of a process's first thread, which has the event loop."""
    return int(Path(f"/proc/{process}/task/{process}/schedstat").read_text().split()[0]) / 1e9


def all_s(process: int) -> float:
    """CPU seconds of a process, and of all that it started and that still runs."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return (int(fields[11]) + int(fields[12])) * TICK_S + sum(map(all_s, map(int, children)))


@dataclass
class _Server:
    """One that is measured, with its streams. cpu_ms: a picture, of each round."""

    process: int
    load: list[LoadStream]
    counts: Counts
    cpu_s: Callable[[int], float]
    cpu_ms: list[float] = field(default_factory=list)
    pictures_a_second: list[float] = field(default_factory=list)

    async def round(self, seconds: float) -> None:
        """All streams busy for so long."""
        busy = [asyncio.create_task(stream.saturate(IN_FLIGHT, WARM_S + seconds)) for stream in self.load]
        await asyncio.sleep(WARM_S)
        began, cpu, answered = time.perf_counter(), self.cpu_s(self.process), self.counts.answered
        await asyncio.sleep(seconds)
        pictures = self.counts.answered - answered
        self.cpu_ms.append(1000 * (self.cpu_s(self.process) - cpu) / max(1, pictures))
        self.pictures_a_second.append(pictures / (time.perf_counter() - began))
        await asyncio.gather(*busy)


async def workers(
    model: Path, before: str, streams: int, rounds: int, seconds: float
) -> tuple[dict[str, Any], list[Bar]]:
    """Both in rounds, in turn; each first round warms up. before: the other commit.

    Raises:
        UsageError: if there is no such commit.
    """
    payloads = Payloads.make(model, LEVEL)
    with _checkout(before) as (other, commit), contextlib.ExitStack() as running:
        ours, theirs = [
            await _measured(running, model, payloads, streams, loop_s, cwd=folder) for folder in (ROOT, other)
        ]
        await _in_turn([ours, theirs], rounds, seconds)
        loops = [ours, theirs]
    with contextlib.ExitStack() as running:
        processes = [
            await _measured(running, model, payloads, streams, all_s, "--workers", str(number)) for number in WORKERS
        ]
        await _in_turn(processes, rounds, seconds)
    ratio = median(a / b for a, b in zip(ours.cpu_ms, theirs.cpu_ms, strict=True))
    a_cpu_second = [1000 / median(one.cpu_ms) for one in processes]
    failed = sum(one.counts.failed + one.counts.wrong for one in (*loops, *processes))
    figures = {
        "model": model.name,
        "streams": streams,
        "level": LEVEL,
        "rounds": rounds,
        "seconds": seconds,
        "other_commit": commit,
        "loop_ms_a_picture": round(median(ours.cpu_ms), 4),
        "other_loop_ms_a_picture": round(median(theirs.cpu_ms), 4),
        "loop_ratio": round(ratio, 3),
        "workers": [
            {
                "workers": number,
                "pictures_a_cpu_second": round(rate, 1),
                "pictures_a_second": round(median(one.pictures_a_second), 1),
            }
            for number, rate, one in zip(WORKERS, a_cpu_second, processes, strict=True)
        ],
    }
    bars = [
        Bar("event loop's CPU a picture over the other commit's", round(ratio, 3), MOST_OF_LOOP, "at most"),
        Bar(
            f"pictures a CPU second, fewest over most, of {', '.join(map(str, WORKERS))} workers",
            round(min(a_cpu_second) / max(a_cpu_second), 3),
            LEAST_SPREAD,
            "at least",
        ),
        Bar("pictures that failed, or had a wrong answer", failed, 0, "at most"),
    ]
    return figures, bars


async def _measured(
    running: contextlib.ExitStack,
    model: Path,
    payloads: Payloads,
    streams: int,
    cpu_s: Callable[[int], float],
    *options: str,
    cwd: Path = ROOT,
) -> _Server:
    environment = {**os.environ, **variables(decoder_threads=1), "ARTOVEQ_LOG_LEVEL": "WARNING", "PYTHONPATH": str(cwd)}
    server: ServerProcess = running.enter_context(server_process(ROOT / model, *options, env=environment, cwd=cwd))
    counts = Counts()
    return _Server(server.process.pid, await open_streams(server.address, payloads, counts, streams), counts, cpu_s)


async def _in_turn(servers: list[_Server], rounds: int, seconds: float) -> None:
    for number in range(rounds + 1):
        for server in servers:
            await server.round(seconds)
            if not number:
                server.cpu_ms.clear()
                server.pictures_a_second.clear()


@contextlib.contextmanager
def _checkout(commit: str) -> Iterator[tuple[Path, str]]:
    """A folder with another commit, run by this one's environment; and the commit's short name."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "before"
        words = ["git", "-C", str(ROOT), "worktree"]
        made = subprocess.run(
            [*words, "add", "--detach", str(folder), commit], capture_output=True, text=True, check=False
        )
        if made.returncode:
            raise UsageError(f"There is no commit {commit!r} to compare with: {made.stderr.strip().splitlines()[-1:]}.")
        try:
            short = subprocess.run(
                ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
            )
            yield folder, short.stdout.strip()
        finally:
            subprocess.run([*words, "remove", "--force", str(folder)], check=False, capture_output=True)
