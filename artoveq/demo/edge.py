"""The edge process of the demo: frames in, one JSON line per event out.

Every second frame is sent one-shot, at the operating point that the measured capacity and the budget allow;
the others progressively, plane by plane until the deadline.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from artoveq import Answer, ArtoveqError, AsyncClient, OneShot, Progressive, UsageError
from artoveq.demo.camera import frames
from artoveq.processes import run_until_stopped
from edge_client.report import file_bytes

INTERVAL_S = 0.2
"""From frame to frame; what the one before left in the link's queue has drained by then."""


def _emit(kind: str, **values: object) -> None:
    print(json.dumps({"kind": kind, **values}), flush=True)


async def run_edge(address: str, model: Path, budget: float, length: float) -> None:
    """Sends frames for `length` seconds."""
    async with AsyncClient(address, model) as client:
        manifest = client.encoder.manifest
        if not manifest.task.classes:
            raise UsageError(f"{manifest.name} names no classes, which the demo shows; take a model that does.")
        walk, began = frames(), time.monotonic()
        _emit("ready", provider=client.encoder.provider)
        while time.monotonic() - began < length:
            for progressive in (False, manifest.refinable):
                frame, taken = next(walk), time.monotonic()
                _emit("frame", name=frame.name, progressive=progressive, capacity=client.capacity)

                def show(answer: Answer) -> None:
                    _emit("answer", answer=answer.as_record())

                mode = Progressive() if progressive else OneShot()
                result = await client.predict(frame.picture, mode, budget=budget, on_answer=show)
                fitted = client.encoder.fit(frame.picture)
                codecs = {codec: len(file_bytes(fitted, codec)) for codec in ("JPEG", "WebP")}
                _emit(
                    "result",
                    label=frame.label,
                    alone=result.local,
                    bytes=result.payload_bytes,
                    best=result.best.name,
                    first_after=result.timed.after,
                    latency=result.latency,
                    met=result.deadline_met,
                    capacity=client.capacity,
                    codecs=codecs,
                )
                await asyncio.sleep(max(0.0, INTERVAL_S - (time.monotonic() - taken)))


if __name__ == "__main__":
    try:
        run_until_stopped(run_edge(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])))
    except ArtoveqError as error:
        _emit("error", message=str(error))
        sys.exit(1)
