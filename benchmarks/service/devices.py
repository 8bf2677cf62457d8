"""Many edges of one address, each of which asks about a picture now and then, and the books of what became of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.service.load import CLOSE, decoded, sample_crops
from edge_client import AsyncClient, Encoder, OneShot
from edge_client.results import Answer
from edge_client.spool import Kept
from edge_client.transport.security import Security
from inference_server.decoder import OnnxDecoder
from wire.artifact import load_artifact
from wire.exceptions import ArtoveqError, ServerOverloaded, ServerUnavailable
from wire.manifest import MANIFEST
from wire.manifest_json import fingerprint_of
from wire.payload import PayloadCodec
from wire.pictures import Picture

POINT = 4
BUDGET_S = 1.0
CONNECT_S = 30.0
"""They share a processor here, which edges do not."""
BUSY_S = 5.0
"""An edge that asks more often is busy."""
AT_ONCE = 16
"""Edges that connect at a time."""
AGAIN_S, AGAIN = 0.2, 300
"""A picture from a spool is asked about again after a pause, so often at most."""


@dataclass
class Books:
    """What was asked while they were open, and what became of it.

    twice: on a stream, pictures with more than one answer; from a spool, those that were answered anew when they were
    sent again. longest_gap_s: between two answers of one busy edge.
    """

    asked: int = 0
    answered: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    twice: int = 0
    wrong: int = 0
    longest_gap_s: float = 0.0
    kept: int = 0
    delivered: int = 0

    @property
    def failed(self) -> int:
        """Pictures on streams for which an edge raised an exception."""
        return self.failures.total()

    @property
    def lost(self) -> int:
        """Pictures that came to no end, and those from a spool that were never answered."""
        return self.asked - self.answered - self.failed + self.kept - self.delivered

    def figures(self) -> dict[str, Any]:
        """For the results."""
        return {
            "pictures": self.asked,
            "answered": self.answered,
            "failed": self.failed,
            "failures": dict(self.failures),
            "from_spools": self.kept,
            "lost": self.lost,
            "twice": self.twice,
            "wrong": self.wrong,
            "longest_gap_s": round(self.longest_gap_s, 2),
        }


def merged(all_books: Iterable[Books]) -> Books:
    """Of edges in several processes."""
    whole = Books()
    for books in all_books:
        for name in ("asked", "answered", "failures", "twice", "wrong", "kept", "delivered"):
            setattr(whole, name, getattr(whole, name) + getattr(books, name))
        whole.longest_gap_s = max(whole.longest_gap_s, books.longest_gap_s)
    return whole


class Album:
    """Pictures, and the answers that are right, by any of some models."""

    def __init__(self, *models: Path) -> None:
        artifacts = [load_artifact(model) for model in models]
        self.pictures: list[Picture] = sample_crops(artifacts[0].manifest.preprocessing.size, 48)
        self._names = artifacts[0].manifest.task.classes
        self._answers = []
        for artifact in artifacts:
            indices = Encoder(artifact).encode_batch(np.stack(self.pictures), POINT)
            self._answers.append(decoded(OnnxDecoder(artifact, threads=1), artifact.manifest, indices, POINT))

    def is_right(self, number: int, answer: Answer) -> bool:
        """Whether a model would answer so."""
        rows = (answers[number] for answers in self._answers)
        name, probability = answer.best.name, answer.best.probability
        return any(self._names[int(r.argmax())] == name and abs(float(r.max()) - probability) < CLOSE for r in rows)


class Devices:
    """Edges that have no model of their own: they fetch it, and follow its versions."""

    def __init__(self, address: str, security: Security, album: Album, numbers: range) -> None:
        self._album, self._numbers = album, numbers
        self._clients = [
            AsyncClient(address, name=f"edge {number}", security=security, connect_timeout=CONNECT_S)
            for number in numbers
        ]
        self.books = Books()
        """Those that are open; whoever puts others here has closed them."""
        self._over = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Connects them all."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def enter(client: AsyncClient) -> None:
            async with gate:
                await client.__aenter__()

        await asyncio.gather(*map(enter, self._clients))

    def begin(self, every_s: float, senders: int) -> None:
        """They ask from now on.

        every_s: between two pictures of one. senders: the first of them, which also ask from a spool.
        """
        for number, client in zip(self._numbers, self._clients, strict=True):
            self._tasks.append(asyncio.create_task(self._ask(number, client, every_s)))
        for client in self._clients[:senders]:
            self._tasks.append(asyncio.create_task(self._deliver(client, every_s)))

    async def end(self) -> None:
        """What was asked comes to its end, and they leave."""
        self._over.set()
        await asyncio.gather(*self._tasks)
        await asyncio.gather(*(client.__aexit__() for client in self._clients))

    async def _ask(self, number: int, client: AsyncClient, every: float) -> None:
        loop = asyncio.get_running_loop()
        due, last, turn = loop.time() + every * (number * 0.618 % 1), loop.time() + every, number
        while not await self._wait(due):
            books, which, delivered = self.books, turn % len(self._album.pictures), list[Answer]()
            books.asked += 1
            try:
                picture = self._album.pictures[which]
                result = await client.predict(picture, OneShot(point=POINT), BUDGET_S, on_answer=delivered.append)
            except ArtoveqError as error:
                books.failures[f"{type(error).__name__}: {error}"] += 1
            else:
                now = loop.time()
                books.answered += 1
                books.twice += len(delivered) != 1
                books.wrong += not self._album.is_right(which, result.answers[-1])
                if every < BUSY_S:
                    self.books.longest_gap_s = max(self.books.longest_gap_s, now - last)
                last = now
            due, turn = max(due + every, loop.time()), turn + 1

    async def _deliver(self, client: AsyncClient, every: float) -> None:
        """As from a spool: until it is answered; then it is sent once more, as if that had not been heard."""
        loop, turn = asyncio.get_running_loop(), 0
        while not await self._wait(loop.time() + every):
            books, which = self.books, turn % len(self._album.pictures)
            encoder, turn = client.encoder, turn + 1
            indices = encoder.encode(self._album.pictures[which], POINT)
            data, packed = PayloadCodec(encoder.manifest).write_block(indices, POINT)
            kept = Kept(encoder.manifest.fingerprint, POINT, data, packed, {}, secrets.token_bytes(16))
            books.kept += 1
            first, second = await _until_answered(client, kept), await _until_answered(client, kept)
            if first is None or second is None:
                continue
            books.delivered += 1
            books.wrong += not self._album.is_right(which, first)
            # How long it was computed says whether it is the same answer, or was made anew.
            books.twice += (first.value, first.queue, first.decode) != (second.value, second.queue, second.decode)

    async def _wait(self, until: float) -> bool:
        """Waits until a time of the loop; whether all is over."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._over.wait(), max(0.0, until - asyncio.get_running_loop().time()))
        return self._over.is_set()  # who is late waits for nothing, and would not hear of it


async def _until_answered(client: AsyncClient, kept: Kept) -> Answer | None:
    for _ in range(AGAIN):
        try:
            return await client.deliver(kept)
        except (ServerUnavailable, ServerOverloaded):
            await asyncio.sleep(AGAIN_S)
    return None


def of_another_version(model: Path, other: Path, folder: Path) -> Path:
    """A copy of another model under the name of `model`: another version of it."""
    shutil.copytree(other, folder)
    values = json.loads((folder / MANIFEST).read_text())
    values["name"] = json.loads((model / MANIFEST).read_text())["name"]
    values["fingerprint"] = fingerprint_of(values)
    (folder / MANIFEST).write_text(json.dumps(values))
    return folder
