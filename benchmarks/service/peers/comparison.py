"""artoveq, LitServe, FastAPI and Ray Serve in turn: pictures a second, then latencies at half of that."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from artoveq.processes import server_process
from benchmarks.results import Bar
from benchmarks.service.load import Payloads
from benchmarks.service.measure import settings
from benchmarks.service.peers.arrivals import Arrivals
from benchmarks.service.peers.grpc_load import IN_FLIGHT, GrpcLoad
from benchmarks.service.peers.http_load import HttpLoad
from wire.exceptions import ServerError, UsageError

LEVEL = 4
WARM_S, ROUNDS, AT_HALF_LOAD = 1.0, 3, 2.5
"""Half of the load lasts so many times as long as a round."""
START_S = 180.0


async def peers(model: Path, streams: int, only: tuple[str, ...], seconds: float) -> tuple[dict[str, Any], list[Bar]]:
    """One server at a time, so that none takes another's processor; each with one thread that decodes.

    seconds: of a round at saturation.

    Raises:
        UsageError: if one of them is not installed.
    """
    for package in ("litserve", "ray"):
        if importlib.util.find_spec(package) is None:
            raise UsageError(f"{package} is not installed; run this with `uv run --group peers`.")
    payloads = Payloads.make(model, LEVEL)
    payloads.expect(model)
    found = {}
    for name, (serving, load) in SERVERS.items():
        if not only or name in only:
            with settings(decoder_threads=1), serving(model, payloads.point) as port:
                found[name] = await _measured(load(port, payloads, streams), seconds)
            print(name, found[name], file=sys.stderr, flush=True)
    failed = sum(one["failed"] for one in found.values())
    figures = {"model": model.name, "streams": streams, "level": LEVEL, "servers": found}
    bars = [Bar("pictures that failed", failed, 0, "at most")]
    bars.append(Bar("wrong answers", sum(one["wrong"] for one in found.values()), 0, "at most"))
    return figures, bars


async def _measured(load: GrpcLoad | HttpLoad, seconds: float) -> dict[str, Any]:
    await load.open()
    rates = []
    for _ in range(ROUNDS):
        busy = asyncio.create_task(load.saturate(WARM_S + seconds))
        await asyncio.sleep(WARM_S)
        began, before = time.perf_counter(), load.counts.answered
        await asyncio.sleep(seconds)
        rates.append((load.counts.answered - before) / (time.perf_counter() - began))
        await busy
    load.counts.latency_ms.clear()
    await load.arrive(Arrivals(median(rates) / 2, AT_HALF_LOAD * seconds))
    p50, p99 = np.percentile(load.counts.latency_ms, (50, 99))
    await load.close()
    return {
        "pictures_a_second": round(median(rates)),
        "rounds": [round(rate) for rate in rates],
        "p50_ms_at_half_load": round(float(p50), 1),
        "p99_ms_at_half_load": round(float(p99), 1),
        "failed": load.counts.failed,
        "wrong": load.counts.wrong,
    }


@contextlib.contextmanager
def _artoveq(model: Path, point: int) -> Iterator[int]:
    with server_process(model) as server:
        yield server.port


def _http(module: str) -> Callable[[Path, int], AbstractContextManager[int]]:
    @contextlib.contextmanager
    def serving(model: Path, point: int) -> Iterator[int]:
        port = _free_port()
        command = ["-m", f"benchmarks.service.peers.{module}", str(model), str(point), str(port)]
        with _process(command, port, {}):
            yield port

    return serving


def _ray(haproxy: bool) -> Callable[[Path, int], AbstractContextManager[int]]:
    @contextlib.contextmanager
    def serving(model: Path, point: int) -> Iterator[int]:
        port, http = _free_port(), _free_port()
        command = ["-m", "artoveq", "serve", "--ray", "--model", str(model), "--host", "127.0.0.1"]
        command += ["--port", str(port), "--http-port", str(http)]
        with _process(command, port, {"RAY_SERVE_ENABLE_HA_PROXY": str(int(haproxy))}, says="Serving on Ray"):
            yield port

    return serving


@contextlib.contextmanager
def _process(command: list[str], port: int, environment: dict[str, str], says: str = "") -> Iterator[None]:
    """A server, once it takes connections and has said so; all that it started ends with it."""
    process = subprocess.Popen(
        [sys.executable, *command],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        if says and not any(says in line for line in process.stdout):
            raise ServerError(f"{command[1]} did not start; see its message above.")
        _await_port(process, port)
        yield
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what it started and left
        process.stdout.close()


def _await_port(process: subprocess.Popen[str], port: int) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.2)
    raise ServerError(f"A server did not open its port {port}; see its message above.")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _connections(port: int, payloads: Payloads, streams: int) -> HttpLoad:
    """As many pictures in flight as the streams have."""
    return HttpLoad(port, payloads, IN_FLIGHT * streams)


SERVERS: dict[str, tuple[Callable[[Path, int], AbstractContextManager[int]], Callable[..., GrpcLoad | HttpLoad]]] = {
    "artoveq": (_artoveq, GrpcLoad),
    "Ray Serve with HAProxy": (_ray(haproxy=True), GrpcLoad),
    "Ray Serve, default proxy": (_ray(haproxy=False), GrpcLoad),
    "LitServe": (_http("with_litserve"), _connections),
    "FastAPI": (_http("with_fastapi"), _connections),
}
"""artoveq's service, alone and on Ray Serve, by gRPC streams; the others by HTTP."""
