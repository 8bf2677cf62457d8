"""Books under fault: each picture is answered once, with its own answer, or reported as failed. None twice, none lost.

Six callers ask for one picture after the other, and an `artoveq watch` with a spool takes frames, all through a
relay, while servers are killed and stopped, the link is cut, clocks are stepped, and the spool's disk is full.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np

from artoveq import Answer, AsyncClient, OneShot, Progressive, Spool
from artoveq.demo.relay import Relay
from artoveq.processes import serve_command
from artoveq.watch.frames import Frame
from artoveq.watch.loop import Options, watch
from artoveq.watch.sinks import Record
from benchmarks.results import Bar
from benchmarks.service.load import CLOSE, decoded, sample_crops
from benchmarks.service.measure import FAKETIME, disk_of
from edge_client import Encoder
from edge_client.local import answered_locally
from edge_client.transport.emulated import UNLIMITED
from inference_server.decoder import OnnxDecoder
from wire.artifact import load_artifact
from wire.exceptions import ArtoveqError, SettingsError
from wire.tasks import task_of

CALLERS, FRAME_S = 6, 0.05
SPOOL_PICTURES, DISK_BYTES = 100_000, 200_000
PATIENCE_S = 120.0
FLOWING = 20
"""Answers after which the next fault may come."""
CLOCK_FILE = "FAULTS_CLOCK"


class Books:
    """What was asked, and what became of it."""

    def __init__(self, model: Path, rng: random.Random) -> None:
        artifact = load_artifact(model)
        self._points, self._rng = range(1, len(artifact.manifest.points) + 1), rng
        self._refinable = artifact.manifest.refinable
        self.crops = sample_crops(artifact.manifest.preprocessing.size, 48)
        self._names = artifact.manifest.task.classes
        encoder, decoder = Encoder(artifact), OnnxDecoder(artifact)
        pictures = np.stack(self.crops)
        self._answers = {
            point: decoded(decoder, artifact.manifest, encoder.encode_batch(pictures, point), point)
            for point in self._points
        }
        task, clock = task_of(artifact.manifest), time.perf_counter
        self._local = [answered_locally(encoder, task, crop, OneShot(point=0), 1, 0.0, clock) for crop in self.crops]
        self.asked = self.answered = self.failed = self.wrong = 0
        self.frames: list[list[str]] = []
        self.reasons: Counter[str] = Counter()

    def right(self, crop: int, point: int, name: str, probability: float) -> bool:
        if (local := self._local[crop]) is not None and point == 0:
            best = local.answer.best
            return best.name == name and abs(best.probability - probability) < CLOSE
        answer = self._answers[point][crop]
        return self._names[int(answer.argmax())] == name and abs(float(answer.max()) - probability) < CLOSE

    async def call(self, client: AsyncClient) -> None:
        """One picture of a caller."""
        crop, delivered = self._rng.randrange(len(self.crops)), list[Answer]()
        refined = self._refinable and self._rng.random() < 0.5
        mode = Progressive() if refined else OneShot(point=self._rng.choice(self._points))
        self.asked += 1
        try:
            result = await client.predict(self.crops[crop], mode, budget=0.3, on_answer=delivered.append)
        except ArtoveqError as error:
            await self._failed(error)
            return
        if result.served:
            self.answered += 1
        else:  # the edge's own answer stands
            await self._failed(result.error)
        points = [answer.point for answer in result.answers]
        good = all(self.right(crop, a.point, a.best.name, a.best.probability) for a in result.answers)
        self.wrong += not good or points != sorted(set(points)) or result.answers != delivered[-len(points) :]

    async def _failed(self, error: ArtoveqError | None) -> None:
        self.failed += 1
        self.reasons["late" if error is None else type(error).__name__] += 1
        await asyncio.sleep(0.05)

    async def flow(self) -> None:
        """Returns when answers flow again."""
        until = self.answered + FLOWING
        while self.answered < until:  # noqa: ASYNC110 (a count, not an event)
            await asyncio.sleep(0.02)

    def send(self, record: Record) -> None:
        """As the sink of `watch`."""
        number = record["frame"]
        if record.get("kept"):
            said = "kept"  # with the edge's own answer, until a server's takes its place
        elif "class" in record:
            crop = number % len(self.crops)
            good = self.right(crop, 0 if record["local"] else record["point"], record["class"], record["probability"])
            end = "delivered" if record.get("delivered") else "alone" if record["local"] else "answered"
            said = end if good else "wrong"
        else:
            said = "failed"
        self.frames[number].append(said)

    async def taken(self) -> bool:
        """As the sink of `watch`."""
        return True

    def close(self) -> None:
        """As the sink of `watch`."""

    def frame_ends(self) -> Counter[str]:
        """What became of frames, in words; all others than ENDS are faults."""
        return Counter(" ".join(said) for said in self.frames)


ENDS = {"answered", "alone", "kept delivered", "kept failed", "failed"}
"""alone: by the edge, for good."""


class _Server:
    """A server on one port, again and again. Its clock can be stepped."""

    def __init__(self, model: Path, clock: Path) -> None:
        self._clock = clock
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._command = serve_command(model, port=self.port)

    async def start(self) -> None:
        stepped = {"FAKETIME_TIMESTAMP_FILE": str(self._clock)}
        self.process = await asyncio.create_subprocess_exec(
            *self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, **stepped}
        )
        assert self.process.stdout is not None
        if not await self.process.stdout.readline():
            raise SettingsError("The server did not start again.")

    async def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return await self.process.wait()


def faults(model: Path, kills: int, seed: int) -> tuple[dict[str, Any], list[Bar]]:
    """Runs in a process of its own, so that its clock can be stepped, too.

    Raises:
        SettingsError: if libfaketime is missing.
    """
    if not Path(FAKETIME).is_file():
        raise SettingsError("Clocks are stepped with libfaketime; install it (Debian: apt install faketime).")
    with tempfile.TemporaryDirectory() as folder:
        clock = Path(folder) / "clock"
        step(clock, 0)
        # Time as such is stepped; what measures durations is not, as with a real clock.
        faked = {"LD_PRELOAD": FAKETIME, "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        environment = {**os.environ, **faked, "FAKETIME_TIMESTAMP_FILE": str(clock), CLOCK_FILE: str(clock)}
        command = [sys.executable, "-m", "benchmarks.service.faults", str(model), str(kills), str(seed)]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    found = json.loads(said)
    return found, _bars(found)


def _bars(found: dict[str, Any]) -> list[Bar]:
    ends = found["what_became_of_frames"]
    lost = found["asked"] - found["answered"] - found["failed"]
    return [
        Bar("pictures lost", lost, 0, "at most"),
        Bar("another picture's answer, or a second one", found["another_pictures_answer_or_twice"], 0, "at most"),
        Bar("pictures answered", found["answered"], 1, "at least"),
        Bar(
            "frames that came to no end, or to two", sum(n for end, n in ends.items() if end not in ENDS), 0, "at most"
        ),
        Bar("frames kept and delivered", ends.get("kept delivered", 0), 1, "at least"),
    ]


async def _faults(model: Path, kills: int, rng: random.Random) -> dict[str, Any]:
    books, ours = Books(model, rng), Path(os.environ[CLOCK_FILE])
    with tempfile.TemporaryDirectory() as folder:
        theirs, spool = Path(folder) / "clock", Spool(Path(folder) / "spool.db", SPOOL_PICTURES)
        step(theirs, 0)
        server = _Server(model, theirs)
        await server.start()
        over = asyncio.Event()

        async def frames() -> AsyncIterator[Frame]:
            while not over.is_set() or len(spool):
                await asyncio.sleep(FRAME_S)
                if not over.is_set():
                    number = len(books.frames)
                    books.frames.append([])
                    yield Frame(number, str(number), books.crops[number % len(books.crops)], time.monotonic())

        async def caller(client: AsyncClient) -> None:
            while not over.is_set():
                await books.call(client)

        done: dict[str, int] = {}
        async with (
            Relay(UNLIMITED, server.port, delay=0.001) as link,
            AsyncClient(f"127.0.0.1:{link.port}", str(model), connect_timeout=2) as one,
            AsyncClient(f"127.0.0.1:{link.port}", str(model), connect_timeout=2) as another,
            AsyncClient(f"127.0.0.1:{link.port}", str(model), connect_timeout=2) as watcher,
        ):
            callers = [asyncio.create_task(caller(client)) for client in (one, another) for _ in range(CALLERS // 2)]
            watching = asyncio.create_task(watch(watcher, frames(), [books], Options(OneShot(), 0.3), spool))

            async def often(name: str, times: int, fault: Callable[[], Awaitable[None]]) -> None:
                for _ in range(times):
                    await asyncio.wait_for(books.flow(), PATIENCE_S)  # the fault shall meet pictures on their way
                    await asyncio.sleep(rng.uniform(0, 0.3))
                    await fault()
                done[name] = times

            async def again(number: signal.Signals) -> None:
                await server.end(number)
                await server.start()

            async def cut() -> None:
                link.cut(rng.uniform(0.3, 2.0))

            async def clocks() -> None:
                step(theirs, rng.choice((-86400, -60, 3600)))
                step(ours, rng.choice((-86400, -60, 3600)))

            async def full_disk() -> None:
                await server.end(signal.SIGKILL)
                with disk_of(DISK_BYTES):
                    await asyncio.sleep(6)
                await server.start()

            await often("killed", kills, lambda: again(signal.SIGKILL))
            some, few = -(-kills // 5), -(-kills // 10)
            await often("stopped", few, lambda: again(signal.SIGTERM))
            await often("links cut for a while", some, cut)
            await often("links broken", some, link.reset)
            await often("clocks stepped", few, clocks)
            await often("disk full", 1, full_disk)
            over.set()
            await asyncio.wait_for(asyncio.gather(*callers), PATIENCE_S)
            await asyncio.wait_for(watching, PATIENCE_S)
        await server.end(signal.SIGTERM)
        spool.close()
    ends = books.frame_ends()
    return {
        "faults": done,
        "asked": books.asked,
        "answered": books.answered,
        "failed": books.failed,
        "failures": dict(books.reasons),
        "another_pictures_answer_or_twice": books.wrong,
        "frames": len(books.frames),
        "what_became_of_frames": dict(ends),
    }


def step(clock: Path, seconds: int) -> None:
    """Sets the clock of the processes that read this file; the monotonic one goes on."""
    clock.write_text(f"{seconds:+d}\n")


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_faults(Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))))))
