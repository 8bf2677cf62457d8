"""Bytes on the network interface for each byte of planes, between two network namespaces."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.service.load import Counts, Payloads, open_streams
from wire.artifact import load_artifact
from wire.exceptions import SettingsError

EDGE, SERVER = "artoveq-edge", "artoveq-server"
EDGE_IP, SERVER_IP = "10.117.0.1", "10.117.0.2"
IN_FLIGHT = (1, 8, 64)
PICTURES = 4000
MOST = 1.25
"""Bytes on the way to the server for each byte of 64-byte planes, with 8 or more pictures in flight."""


@contextlib.contextmanager
def two_namespaces() -> Iterator[None]:
    """An edge's and a server's, joined by a pair of virtual interfaces.

    Raises:
        SettingsError: if this machine does not let us.
    """
    commands = [
        f"ip netns add {EDGE}",
        f"ip netns add {SERVER}",
        f"ip link add v-edge netns {EDGE} type veth peer name v-server netns {SERVER}",
        *(
            f"ip -n {name} {what}"
            for name, link, address in ((EDGE, "v-edge", EDGE_IP), (SERVER, "v-server", SERVER_IP))
            for what in (f"addr add {address}/24 dev {link}", f"link set {link} up", "link set lo up")
        ),
    ]
    try:
        for command in commands:
            made = subprocess.run(command.split(), capture_output=True, text=True, check=False)
            if made.returncode:
                raise SettingsError(f"`{command}` failed ({made.stderr.strip()}); this benchmark needs root and ip.")
        yield
    finally:
        for name in (EDGE, SERVER):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def wire(model: Path) -> dict[str, Any]:
    """One stream, level 1, packed: planes of 64 bytes; so many pictures are always in flight."""
    serve = [sys.executable, "-m", "artoveq", "serve", "--model", str(model), "--host", SERVER_IP, "--port", "50051"]
    with two_namespaces():
        server = subprocess.Popen(
            ["ip", "netns", "exec", SERVER, *serve, "--http-port", "0"], stdout=subprocess.PIPE, text=True
        )
        try:
            assert server.stdout is not None
            server.stdout.readline()
            rows = [_measure(model, in_flight) for in_flight in IN_FLIGHT]
        finally:
            server.terminate()
            server.wait()
    bundled = [row["up_per_payload"] for row in rows if row["in_flight"] >= 8]
    return {"model": model.name, "rows": rows, "passed": max(bundled) <= MOST}


def _measure(model: Path, in_flight: int) -> dict[str, Any]:
    command = ["ip", "netns", "exec", EDGE, sys.executable, "-m", "benchmarks.service.wire", str(model), str(in_flight)]
    before = _interface()
    said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    up, down = (after - earlier for after, earlier in zip(_interface(), before, strict=True))
    payload = said["payload_bytes"]
    return {
        "in_flight": in_flight,
        **said,
        "up_bytes": up,
        "down_bytes": down,
        "up_per_payload": round(up / payload, 3),
        "both_per_payload": round((up + down) / payload, 3),
    }


def _interface() -> tuple[int, int]:
    """Bytes that the edge's interface has sent and received, Ethernet headers and all."""
    counters = "/sys/class/net/v-edge/statistics"
    command = ["ip", "netns", "exec", EDGE, "cat", f"{counters}/tx_bytes", f"{counters}/rx_bytes"]
    sent, received = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(sent), int(received)


async def _send(model: Path, in_flight: int) -> dict[str, Any]:
    """As the edge: its counters are read around this."""
    counts, manifest = Counts(), load_artifact(model, edge=True).manifest
    payloads = Payloads.make(model, 1, packed=True)
    (stream,) = await open_streams(f"{SERVER_IP}:50051", payloads, counts, 1)
    await stream.send(in_flight)
    sent = in_flight
    while stream.waiting:
        done = await stream.hear()
        more = min(done, PICTURES - sent)
        if more:
            await stream.send(more)
            sent += more
    await stream.close()
    return {"pictures": counts.answered, "failed": counts.failed, "payload_bytes": sent * manifest.plane_bytes}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_send(Path(sys.argv[1]), int(sys.argv[2])))))
