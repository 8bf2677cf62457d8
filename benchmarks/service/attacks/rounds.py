"""Rounds of an attack on a server, and, in turn with them, of the same attacker's work against a sink.

The server and the sink share one core, the attacker has the other. The honest caller stands for a machine of its own:
where the system lets it, it goes before both whenever it has something to do, so that what it loses is what the service
loses.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from artoveq.processes import ServerProcess, server_process
from benchmarks.service.attacks.honest import PATIENCE_S, Honest, Seen
from benchmarks.service.attacks.target import Books
from benchmarks.service.load import Payloads
from benchmarks.service.measure import resident_mib, variables

LEVEL = 4
WARM_S, SETTLE_S, SAMPLE_S = 1.5, 0.3, 0.05
OURS, THEIRS = "honest-" + 24 * "0", "hostile-" + 24 * "1"
"""Tokens."""
TOKENS, LOG = "tokens", "log"
SINK_PATIENCE_S = 0.0
PRIORITY = 1
"""Of real time, the least there is."""
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cores() -> tuple[int, int]:
    """The service's, and the attacker's; the same where there is one alone."""
    ours = sorted(os.sched_getaffinity(0))
    return ours[0], ours[-1]


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """This process, and those that are started within, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def before_all_else() -> Iterator[None]:
    """This process, on any core, goes before those that are not of real time; what is started within would, too."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except (AttributeError, PermissionError):
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@contextlib.contextmanager
def server_of(model: Path, folder: Path, **more: float) -> Iterator[ServerProcess]:
    """With a token for the honest and one for the hostile; else as it comes.

    folder: gets its log, and its tokens.
    """
    (folder / TOKENS).write_text(f"honest: {OURS}\nhostile: {THEIRS}\n")
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((folder / LOG).open("w"))
        env = {**os.environ, **variables(decoder_threads=1, tokens_file=folder / TOKENS, **more)}
        yield stack.enter_context(server_process(model, stderr=log, env=env))


def authorized(token: str) -> tuple[tuple[str, str], ...]:
    """What goes with a known caller's calls."""
    return (("authorization", f"Bearer {token}"),)


@dataclass(frozen=True)
class Attacker:
    """A process on a core of its own."""

    process: asyncio.subprocess.Process

    async def round(self, **wanted: Any) -> Books:
        """What it did."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(wanted).encode() + b"\n")
        said = await self.process.stdout.readline()
        return Books(**json.loads(said))


@contextlib.asynccontextmanager
async def attacker_of(name: str, core: int) -> AsyncIterator[Attacker]:
    command = [sys.executable, "-m", "benchmarks.service.attacks.attacker", name, str(core)]
    process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    try:
        yield Attacker(process)
    finally:
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except asyncio.TimeoutError:
            process.kill()
            await process.wait()


@contextlib.contextmanager
def _sink() -> Iterator[int]:
    """A sink's port."""
    command = [sys.executable, "-m", "benchmarks.service.attacks.sink"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


@dataclass
class Round:
    """seen: by the honest. books: the attacker's. server_cpu_s: in the round, for the honest and the hostile."""

    seen: Seen
    books: Books
    server_cpu_s: float
    memory_mib: float


async def attacked(name: str, model: Path, rounds: int, seconds: float) -> dict[str, Any]:
    """An attack's figures: so many rounds of it, each followed by one of the same pace against a sink."""
    core, other = cores()
    payloads = Payloads.make(model, LEVEL)
    payloads.expect(model)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with pinned(core):
            server = stack.enter_context(server_of(model, folder))
            sink = stack.enter_context(_sink())
        async with contextlib.AsyncExitStack() as running:
            attacker = await running.enter_async_context(attacker_of(name, other))
            running.enter_context(before_all_else())
            honest = await running.enter_async_context(Honest(server, payloads, authorized(OURS)))
            common = {"model": str(model), "token": THEIRS}
            await attacker.round(port=sink, http_port=sink, seconds=0.0, **common)  # makes what it will send
            await honest.ask(WARM_S)
            before = resident_mib(server.process.pid)
            on_server: list[Round] = []
            on_sink: list[Round] = []
            for _ in range(rounds):
                target = {"port": server.port, "http_port": server.http_port, "seconds": seconds, **common}
                on_server.append(await _round(server, honest, attacker, seconds, target))
                pace = max(on_server[-1].books.turns, 1) / seconds
                target |= {"port": sink, "http_port": sink, "pace": pace, "patience": SINK_PATIENCE_S}
                on_sink.append(await _round(server, honest, attacker, seconds, target))
            ended = server.process.poll() is not None
        lines = (folder / LOG).read_text().count("\n")
    return _figures(on_server, on_sink, before, lines, ended)


async def _round(
    server: ServerProcess, honest: Honest, attacker: Attacker, seconds: float, target: dict[str, Any]
) -> Round:
    most, over = resident_mib(server.process.pid), asyncio.Event()

    async def sample() -> None:
        nonlocal most
        while not over.is_set():
            most = max(most, resident_mib(server.process.pid))
            await asyncio.sleep(SAMPLE_S)

    sampling = asyncio.create_task(sample())
    cpu = server_cpu_s(server)
    attacking = asyncio.create_task(attacker.round(**target))
    seen = await honest.ask(seconds)
    books = await asyncio.wait_for(attacking, PATIENCE_S)
    over.set()
    await sampling
    found = Round(seen, books, server_cpu_s(server) - cpu, most)
    await asyncio.sleep(SETTLE_S)
    return found


def server_cpu_s(server: ServerProcess) -> float:
    """Seconds of processor that it has used."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def _figures(
    on_server: list[Round], on_sink: list[Round], before_mib: float, log_lines: int, ended: bool
) -> dict[str, Any]:
    ratios = [a.seen.percentile(99) / b.seen.percentile(99) for a, b in zip(on_server, on_sink, strict=True)]
    told = sum((Counter(one.books.replies) for one in on_server), start=Counter[str]())
    return {
        "p99_ratio": round(median(ratios), 2),
        "p99_ms": [round(one.seen.percentile(99), 1) for one in on_server],
        "p99_ms_beside_the_sink": [round(one.seen.percentile(99), 1) for one in on_sink],
        "p50_ms": round(median(one.seen.percentile(50) for one in on_server), 1),
        "p50_ms_beside_the_sink": round(median(one.seen.percentile(50) for one in on_sink), 1),
        "answers": sum(one.seen.answered for one in on_server),
        "answers_beside_the_sink": sum(one.seen.answered for one in on_sink),
        "failed": sum(one.seen.failed for one in on_server),
        "wrong": sum(one.seen.wrong for one in on_server),
        "longest_healthz_s": _longest(one.seen.healthz_s for one in on_server),
        "longest_healthz_s_beside_the_sink": _longest(one.seen.healthz_s for one in on_sink),
        "longest_grpc_health_s": _longest(one.seen.grpc_health_s for one in on_server),
        "longest_grpc_health_s_beside_the_sink": _longest(one.seen.grpc_health_s for one in on_sink),
        "health_checks": min(
            sum(len(one.seen.healthz_s) for one in on_server), sum(len(one.seen.grpc_health_s) for one in on_server)
        ),
        "memory_growth_mib": round(max(one.memory_mib for one in on_server) - before_mib, 1),
        "attacker_cpu_s": round(sum(one.books.cpu_s for one in on_server), 2),
        "server_cpu_s": round(sum(a.server_cpu_s - b.server_cpu_s for a, b in zip(on_server, on_sink, strict=True)), 2),
        "acts": sum(one.books.turns for one in on_server),
        "acts_against_the_sink": sum(one.books.turns for one in on_sink),
        "sent_mib": round(sum(one.books.sent_bytes for one in on_server) / 2**20, 1),
        "told": dict(told),
        "log_lines": log_lines,
        "server_ended": ended,
    }


def _longest(rounds: Iterable[list[float]]) -> float:
    return round(max(itertools.chain.from_iterable(rounds)), 3)
