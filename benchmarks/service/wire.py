"""Bytes on the network interface for each byte of payload, between two network namespaces."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.namespaces import PORT, UPLINK, Edge, inside, namespaces, server_in_namespace
from benchmarks.results import Bar
from benchmarks.service.load import Counts, Payloads, open_streams
from wire.artifact import load_artifact

IN_FLIGHT = (1, 8, 64)
PICTURES = 4000
MOST = 1.25
"""Bytes on the way to the server for each byte of 64-byte payloads, with 8 or more pictures in flight."""


def wire(model: Path, pictures: int = PICTURES) -> tuple[dict[str, Any], list[Bar]]:
    """One stream, level 1, packed: 64 bytes a picture; so many pictures are always in flight."""
    with namespaces() as (edge,), server_in_namespace(model):
        rows = [_measure(edge, model, in_flight, pictures) for in_flight in IN_FLIGHT]
    bundled = max(row["up_per_payload"] for row in rows if row["in_flight"] >= 8)
    bars = [
        Bar("bytes up for each byte of payload, 8 or more in flight", bundled, MOST, "at most"),
        Bar("pictures that failed", sum(row["failed"] for row in rows), 0, "at most"),
    ]
    return {"model": model.name, "rows": rows}, bars


def _measure(edge: Edge, model: Path, in_flight: int, pictures: int) -> dict[str, Any]:
    command = [*inside(edge.namespace), sys.executable, "-m", "benchmarks.service.wire", str(model), edge.server]
    before = _interface(edge)
    said = json.loads(
        subprocess.run([*command, str(in_flight), str(pictures)], check=True, capture_output=True, text=True).stdout
    )
    up, down = (after - earlier for after, earlier in zip(_interface(edge), before, strict=True))
    payload = said["payload_bytes"]
    return {
        "in_flight": in_flight,
        **said,
        "up_bytes": up,
        "down_bytes": down,
        "up_per_payload": round(up / payload, 3),
        "both_per_payload": round((up + down) / payload, 3),
    }


def _interface(edge: Edge) -> tuple[int, int]:
    """Bytes that the edge's interface has sent and received, Ethernet headers and all."""
    counters = f"/sys/class/net/{UPLINK}/statistics"
    command = [*inside(edge.namespace), "cat", f"{counters}/tx_bytes", f"{counters}/rx_bytes"]
    sent, received = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(sent), int(received)


async def _send(model: Path, server: str, in_flight: int, pictures: int) -> dict[str, Any]:
    """As the edge: its counters are read around this."""
    counts, manifest = Counts(), load_artifact(model, edge=True).manifest
    payloads = Payloads.make(model, 1, packed=True)
    (stream,) = await open_streams(f"{server}:{PORT}", payloads, counts, 1)
    await stream.send(in_flight)
    sent = in_flight
    while stream.waiting:
        done = await stream.hear()
        more = min(done, pictures - sent)
        if more:
            await stream.send(more)
            sent += more
    await stream.close()
    payload_bytes = sent * manifest.point(payloads.point).payload_bytes
    return {"pictures": counts.answered, "failed": counts.failed, "payload_bytes": payload_bytes}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_send(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])))))
