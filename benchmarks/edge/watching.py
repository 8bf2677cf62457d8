"""`artoveq watch` on a video at 30 frames a second over a narrow link: no stale frame, no growth, no frame lost."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from artoveq.demo.relay import Relay
from artoveq.processes import server_process
from benchmarks.results import Bar
from benchmarks.service.measure import resident_mib
from edge_client.transport.emulated import CapacityTrace
from wire.pictures import read_picture

FPS, SIDE = 30, 240
OLDEST_MS = 2 * 1000 / FPS
"""Two intervals: a frame is the newest one when it is taken, and one more may come in the meantime."""
MOST_GROWTH = 1.03
"""Of the resident memory, last quarter over the second."""
PICTURE = Path(__file__).parents[2] / "artoveq" / "demo" / "pictures" / "dingo.png"


async def watching(model: Path, seconds: float, kbit: float) -> tuple[dict[str, Any], list[Bar]]:
    """One run."""
    with tempfile.TemporaryDirectory() as folder, server_process(model) as server:
        video = Path(folder) / "video.avi"
        frames = write_video(video, seconds)
        async with Relay(CapacityTrace([(0.0, 1000 * kbit)]), server.port) as link:
            command = [sys.executable, "-m", "artoveq", "watch", str(video), "--server", f"127.0.0.1:{link.port}"]
            watcher = await asyncio.create_subprocess_exec(
                *command, "--json", "--model", str(model), stdout=subprocess.PIPE
            )
            assert watcher.stdout is not None
            records, memory = [], []
            async for line in watcher.stdout:
                records.append(json.loads(line))
                memory.append(resident_mib(watcher.pid))
            code = await watcher.wait()
    ages = sorted(record["age_ms"] for record in records)
    quarter = len(memory) // 4
    second, last = median(memory[quarter : 2 * quarter]), median(memory[-quarter:])
    failures = sum("error" in record for record in records)
    figures = {
        "seconds": seconds,
        "kbit_per_second": kbit,
        "frames_of_the_video": frames,
        "frames_taken": records[-1]["frame"],
        "results": sum("class" in record for record in records),
        "failures": failures,
        "exit_code": code,
        "deadlines_met": round(sum(r.get("deadline_met", False) for r in records) / len(records), 4),
        "age_ms": {"median": median(ages), "p99": ages[int(0.99 * len(ages))], "max": ages[-1]},
        "frame_interval_ms": round(1000 / FPS, 1),
        "resident_mib": {"second_quarter": round(second, 1), "last_quarter": round(last, 1)},
    }
    bars = [
        Bar("frames that failed", failures, 0, "at most"),
        Bar("exit code", code, 0, "at most"),
        Bar("oldest frame when taken, ms", ages[-1], OLDEST_MS, "at most"),
        Bar("memory, last quarter over the second", round(last / second, 4), MOST_GROWTH, "at most"),
    ]
    return figures, bars


def write_video(path: Path, seconds: float) -> int:
    """A dingo that wanders, so that no two frames are the same. Returns the number of frames."""
    import cv2

    dingo = cv2.resize(read_picture(PICTURE)[..., ::-1], (SIDE, SIDE))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (SIDE, SIDE))
    count = round(seconds * FPS)
    for i in range(count):
        writer.write(cv2.warpAffine(dingo, _shift(i), (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE))
    writer.release()
    return count


def _shift(i: int) -> Any:
    import numpy as np

    return np.array([[1, 0, 12 * np.sin(i / 17)], [0, 1, 12 * np.cos(i / 23)]], np.float32)
