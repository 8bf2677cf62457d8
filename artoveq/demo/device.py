"""The demo's edge in a container: it shapes its own uplink along a trace, sends pictures in a loop, and reports.

python -m artoveq.demo.device SERVER:PORT TRACE.csv NAME one-shot|progressive BUDGET
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
from pathlib import Path

from artoveq import ArtoveqError, AsyncClient, OneShot, Progressive, ServerError
from artoveq.demo.camera import VIEWS, frames
from artoveq.processes import run_until_stopped
from edge_client.transport.emulated import CapacityTrace

INTERFACE = "eth0"
INTERVAL_S = 0.2
DWELL_S = 4.0
"""How long the camera looks from the same side; a thumbnail is sent when that changes."""
RETRY_S = 1.0
BURST_BYTES, QUEUE_BYTES = 320, 65536
"""The token bucket holds one packet of the network's largest size; what waits for it is not dropped."""
log = logging.getLogger("artoveq.demo.device")


def shape(bits_per_second: float, verb: str) -> None:
    """Lets the uplink carry so much, by the kernel's token bucket filter; "change" keeps what is queued."""
    filtering = ["tc", "qdisc", verb, "dev", INTERFACE, "root", "tbf", "rate", f"{round(bits_per_second)}bit"]
    subprocess.run([*filtering, "burst", str(BURST_BYTES), "limit", str(QUEUE_BYTES)], check=True)


async def follow(trace: CapacityTrace) -> None:
    """Shapes the uplink along the trace, over and over; its last row marks where it begins anew."""
    began, shaped = time.monotonic(), 0.0
    while True:
        if (now := capacity(trace, began)) != shaped:
            shape(now, "change" if shaped else "replace")
            shaped = now
        await asyncio.sleep(0.1)


def capacity(trace: CapacityTrace, began: float) -> float:
    """Bits per second now, of a trace that began at `began` and repeats."""
    return trace.capacity((time.monotonic() - began) % (trace.times[-1] or 1.0))


async def run(address: str, trace: CapacityTrace, name: str, *, progressive: bool, budget: float) -> None:
    """Sends pictures until it is stopped; waits for a server that is away."""
    began = time.monotonic()
    sending = _send_always(address, trace, name, began, progressive=progressive, budget=budget)
    await asyncio.gather(follow(trace), sending)  # neither ends but by an error


async def _send_always(
    address: str, trace: CapacityTrace, name: str, began: float, *, progressive: bool, budget: float
) -> None:
    while True:
        try:
            async with AsyncClient(address, name=name) as client:
                await _send(client, trace, began, progressive=progressive, budget=budget)
        except ServerError as error:
            log.warning("%s", error)
            await asyncio.sleep(RETRY_S)


async def _send(client: AsyncClient, trace: CapacityTrace, began: float, *, progressive: bool, budget: float) -> None:
    shown = ""
    for frame in frames():
        taken = time.monotonic()
        if frame.name != VIEWS[int((taken - began) / DWELL_S) % len(VIEWS)]:
            continue
        result = await client.predict(frame.picture, Progressive() if progressive else OneShot(), budget=budget)
        await client.report(result, frame.picture, thumbnail=frame.name != shown, true_capacity=capacity(trace, began))
        shown = frame.name
        best = result.best
        print(
            f"{frame.name}: {best.name} {best.probability:.0%}, point {result.answers[-1].point}, "
            f"{result.payload_bytes} bytes, {result.timed.after * 1000:.0f} ms",
            flush=True,
        )
        await asyncio.sleep(max(0.0, INTERVAL_S - (time.monotonic() - taken)))


if __name__ == "__main__":
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    target, trace_file, device, mode, seconds = sys.argv[1:]
    try:
        run_until_stopped(
            run(
                target,
                CapacityTrace.read(Path(trace_file)),
                device,
                progressive=mode == "progressive",
                budget=float(seconds),
            )
        )
    except ArtoveqError as error:
        sys.exit(f"error: {error}")
