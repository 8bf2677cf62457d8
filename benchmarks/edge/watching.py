"""`artoveq watch` on a video at 30 frames a second over a narrow link: no stale frame, no growth, no frame lost."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from artoveq.demo.link import Link, Trace
from artoveq.processes import server_process
from wire.pictures import read_picture

FPS, SIDE = 30, 240
PICTURE = Path(__file__).parents[2] / "artoveq" / "demo" / "pictures" / "dingo.png"


async def watching(model: Path, seconds: float, kbit: float) -> dict[str, Any]:
    """The figures of one run."""
    import asyncio

    with tempfile.TemporaryDirectory() as folder, server_process(model) as server:
        video = Path(folder) / "video.avi"
        frames = write_video(video, seconds)
        async with Link(Trace([(0.0, 1000 * kbit)]), server.port) as link:
            command = [sys.executable, "-m", "artoveq", "watch", str(video), "--server", f"127.0.0.1:{link.port}"]
            watcher = await asyncio.create_subprocess_exec(
                *command, "--json", "--model", str(model), stdout=subprocess.PIPE
            )
            assert watcher.stdout is not None
            records, memory = [], []
            async for line in watcher.stdout:
                records.append(json.loads(line))
                memory.append(_resident(watcher.pid))
            code = await watcher.wait()
    ages = sorted(record["age_ms"] for record in records)
    quarter = len(memory) // 4
    return {
        "seconds": seconds,
        "kbit_per_second": kbit,
        "frames_of_the_video": frames,
        "frames_taken": records[-1]["frame"],
        "results": sum("class" in record for record in records),
        "failures": sum("error" in record for record in records),
        "exit_code": code,
        "deadlines_met": round(sum(r.get("deadline_met", False) for r in records) / len(records), 4),
        "age_ms": {"median": median(ages), "p99": ages[int(0.99 * len(ages))], "max": ages[-1]},
        "frame_interval_ms": round(1000 / FPS, 1),
        "resident_mib": {
            "second_quarter": round(median(memory[quarter : 2 * quarter]), 1),
            "last_quarter": round(median(memory[-quarter:]), 1),
        },
    }


def write_video(path: Path, seconds: float) -> int:
    """A dingo that wanders, so that no two frames are the same. Returns the number of frames."""
    import cv2

    dingo = cv2.resize(read_picture(PICTURE)[..., ::-1], (SIDE, SIDE))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), FPS, (SIDE, SIDE))
    count = round(seconds * FPS)
    for i in range(count):
        writer.write(cv2.warpAffine(dingo, _shift(i), (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE))
    writer.release()
    return count


def _shift(i: int) -> Any:
    import numpy as np

    return np.array([[1, 0, 12 * np.sin(i / 17)], [0, 1, 12 * np.cos(i / 23)]], np.float32)


def _resident(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * 4096 / 2**20
