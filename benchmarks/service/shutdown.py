"""SIGTERM while callers leave everything half open: seconds until the process has ended."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

from artoveq.processes import ServerProcess, server_process
from benchmarks.results import Bar
from benchmarks.service.half_open import KINDS, Ports
from wire.artifact import load_artifact
from wire.payload import PayloadCodec

MOST_S, PATIENCE_S = 5.0, 30.0


def shutdown(model: Path) -> tuple[dict[str, Any], list[Bar]]:
    """A server for each kind, as it starts by default."""
    seconds, codes = {}, {}
    for name in KINDS:
        seconds[name], codes[name] = seconds_to_exit(model, name)
    bars = [
        Bar("seconds to exit, at worst", max(seconds.values()), MOST_S, "at most"),
        Bar("servers that did not end with 0", sum(map(bool, codes.values())), 0, "at most"),
    ]
    return {"seconds_to_exit": seconds}, bars


def seconds_to_exit(model: Path, kind: str) -> tuple[float, int]:
    """From the signal until the process is gone, and its exit code."""
    with server_process(model) as server, contextlib.ExitStack() as stack:
        KINDS[kind](ports_of(server, model), stack)
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        try:
            code = server.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
        return round(time.monotonic() - began, 2), code


def ports_of(server: ServerProcess, model: Path) -> Ports:
    """Where to open something half."""
    manifest = load_artifact(model).manifest
    codec = PayloadCodec(manifest)
    indices = np.zeros(manifest.sub_vectors, np.int32)
    data, _ = codec.write_run(indices, 1, 1)
    return Ports(server.port, server.http_port, manifest.fingerprint, manifest.chain[-1], len(data))
