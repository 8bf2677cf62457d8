"""Ray Serve on two nodes, each in a network namespace of its own: a second replica comes on the second node, streams
move to it, and then that node dies."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.namespaces import PORT, SERVER, inside, namespaces
from benchmarks.results import Bar
from benchmarks.service.devices import Album, Books, Devices
from edge_client.transport.security import Security
from inference_server.ray_serve.serving import ENVIRONMENT
from wire.exceptions import SettingsError

EDGES, BUSY_S = 24, 0.05
"""Edges, all of them busy; between two pictures of one: more than a decoder on one core keeps up with."""
AGE_S, SCALES_S, SETTLE_S, ALONE_S = 10.0, 120.0, 25.0, 30.0
"""A stream's age; how long Ray may take to have a second replica; until streams are counted; after a node's death."""
RAY_PORT, STATS_PORT = 6379, 8404
"""Of Ray's head, and of HAProxy's books."""

COMMON = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
"""Environment of all of Ray's processes, which want to know each other."""


def nodes(model: Path) -> tuple[dict[str, Any], list[Bar]]:
    """Wants root, `ip` and the extra `ray`.

    Raises:
        SettingsError: if one is missing.
    """
    try:
        import ray  # noqa: F401
    except ImportError:
        raise SettingsError("This benchmark needs Ray; install artoveq[ray].") from None
    with namespaces() as (wire,):
        first, second = wire.server, wire.server.removesuffix(".2") + ".1"
        for space in (SERVER, wire.namespace):
            subprocess.run(["ip", "-n", space, "link", "set", "lo", "up"], check=True)
        command = [sys.executable, "-m", __name__, str(model), first, second, wire.namespace]
        said = subprocess.run([*inside(SERVER), *command], stdout=subprocess.PIPE, check=False)
    if said.returncode:
        raise SettingsError("Ray's nodes did not come to their end; see their messages above.")
    figures = json.loads(said.stdout.splitlines()[-1])
    return figures, _bars(figures)


async def _within(model: Path, first: str, second: str, other: str) -> dict[str, Any]:
    """In the first node's namespace."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        head = ["--head", "--port", str(RAY_PORT), "--include-dashboard=false", "--temp-dir", folder]
        stack.enter_context(_running(_node(first, head), "node 1", says="Ray runtime started"))
        joined = [*inside(other), *_node(second, ["--address", f"{first}:{RAY_PORT}"])]
        second_node = stack.enter_context(_running(joined, "node 2", says="Ray runtime started"))
        serving = [sys.executable, "-m", "artoveq", "serve", "--ray", "--model", str(model), "--host", "0.0.0.0"]
        serving += ["--port", str(PORT), "--set", f"stream_age_seconds={AGE_S:g}", "--set", "decoder_threads=1"]
        os.environ["RAY_ADDRESS"] = f"{first}:{RAY_PORT}"
        stack.enter_context(_running(serving, "artoveq", says="Serving on Ray"))
        os.nice(14)  # Ray has its replicas at 15, and who makes them wait for a processor does not see them come
        devices = Devices(f"{first}:{PORT}", Security(), Album(model), range(EDGES))
        await devices.open()
        devices.begin(BUSY_S, senders=0)
        grown = devices.books
        scaled_s = await _until(lambda: len(_streams()) == 2)
        await asyncio.sleep(SETTLE_S)
        spread, devices.books = _streams(), Books()
        os.killpg(second_node.pid, signal.SIGKILL)
        died = devices.books
        await asyncio.sleep(ALONE_S)
        left = _streams()
        await devices.end()
    return {
        "edges": EDGES,
        "second_replica_after_s": round(scaled_s, 1),
        "streams": sorted(spread.values()),
        "streams_after_death": sorted(left.values()),
        "scale_out": grown.figures(),
        "death": died.figures(),
    }


def _node(address: str, more: Sequence[str]) -> list[str]:
    """A replica wants one of its processors, so that the next one has to go to another node."""
    ray = str(Path(sys.executable).with_name("ray"))
    shared = ["--num-cpus", "1", "--object-store-memory", str(10**8), "--disable-usage-stats", "--block"]
    return [ray, "start", "--node-ip-address", address, *shared, *more]


@contextlib.contextmanager
def _running(command: Sequence[str], name: str, *, says: str) -> Iterator[subprocess.Popen[str]]:
    """With its children, until the block ends; begins once it has said so."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **ENVIRONMENT, **COMMON}, start_new_session=True
    )
    try:
        assert process.stdout is not None
        if not any(says in line for line in process.stdout):
            raise SettingsError(f"{name} did not start; see its message above.")
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def _until(done: Callable[[], bool]) -> float:
    """Seconds until it is so.

    Raises:
        SettingsError: if it is not in time.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not await asyncio.to_thread(done):
        if loop.time() > began + SCALES_S:
            raise SettingsError(f"There was no second replica after {SCALES_S:g} s.")
        await asyncio.sleep(1.0)
    return loop.time() - began


def _streams() -> Counter[str]:
    """Open streams that HAProxy leads to replicas, by replica; a node has processors for one."""
    with urllib.request.urlopen(f"http://127.0.0.1:{STATS_PORT}/stats;csv", timeout=5) as answer:
        rows = csv.DictReader(io.StringIO(answer.read().decode().lstrip("# ")))
        found: Counter[str] = Counter()
        for row in rows:
            if "SERVE_REPLICA" in row["svname"] and row["pxname"].startswith("grpc") and row["status"] == "UP":
                found[row["svname"]] = int(row["scur"] or 0)
        return found


def _bars(found: dict[str, Any]) -> list[Bar]:
    grown, died = found["scale_out"], found["death"]
    least = min(found["streams"]) / max(1, sum(found["streams"]))
    return [
        Bar("streams of the node that has fewer, of all", round(least, 3), 0.4, "at least"),
        Bar("pictures failed while a replica came", grown["failed"], 0, "at most"),
        Bar("pictures lost", grown["lost"] + died["lost"], 0, "at most"),
        Bar("pictures answered twice", grown["twice"] + died["twice"], 0, "at most"),
        Bar("wrong answers", grown["wrong"] + died["wrong"], 0, "at most"),
    ]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_within(Path(sys.argv[1]), *sys.argv[2:5]))))
