"""Batches across streams: what waits while the decoder is busy goes into its next batch together."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from inference_server import metrics
from inference_server.decoder import Decoder, Probabilities
from wire.bitplanes import Indices
from wire.exceptions import ArtoveqError, ServerError, ServerOverloaded

log = logging.getLogger(__name__)


@dataclass
class Answer:
    """The decoder's answer for one picture at one level. queue and decode in seconds."""

    level: int
    probabilities: Probabilities
    queue: float
    decode: float


@dataclass
class _Work:
    level: int
    indices: Indices
    deliver: Callable[[Answer | ArtoveqError], None]
    since: float = field(default_factory=time.monotonic)


class Batcher:
    """One decoder, fed from a queue. Submit from the event loop only.

    While a picture waits, newer planes replace its older request, which keeps its place in the
    queue: under load only the newest state of a picture is decoded.
    """

    def __init__(self, decoder: Decoder, *, pictures: int, window: float, queue: int) -> None:
        self._decoder = decoder
        self._pictures, self._window, self._limit = pictures, window, queue
        self._waiting: dict[Hashable, _Work] = {}
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="artoveq-decoder")
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Decodes what waits, then ends."""
        await self._idle.wait()
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._thread.shutdown()

    def submit(
        self, key: Hashable, level: int, indices: Indices, deliver: Callable[[Answer | ArtoveqError], None]
    ) -> None:
        """Queues a picture's newest state; `deliver` is called on the event loop with its answer.

        Raises:
            ServerOverloaded: if the queue is full.
        """
        older = self._waiting.get(key)
        if older is None and len(self._waiting) >= self._limit:
            raise ServerOverloaded(f"{self._limit} pictures are waiting already; try again a little later.")
        if older is not None:
            metrics.COALESCED.inc()
        self._waiting[key] = _Work(level, indices, deliver)
        self._idle.clear()
        self._arrived.set()

    @property
    def waiting(self) -> int:
        """Pictures that wait to be decoded."""
        return len(self._waiting)

    def withdraw(self, key: Hashable) -> None:
        """Forgets a waiting picture; one that is being decoded is still delivered."""
        self._waiting.pop(key, None)

    async def predict(self, level: int, indices: Indices) -> Answer:
        """The answer for one picture on its own.

        Raises:
            ServerOverloaded: if the queue is full.
        """
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def deliver(answer: Answer | ArtoveqError) -> None:
            if future.done():
                return
            if isinstance(answer, Answer):
                future.set_result(answer)
            else:
                future.set_exception(answer)

        self.submit(future, level, indices, deliver)
        try:
            return await future
        finally:
            self.withdraw(future)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not self._waiting:
                self._idle.set()
                self._arrived.clear()
                await self._arrived.wait()
                if self._window and len(self._waiting) < self._pictures:
                    await asyncio.sleep(self._window)
            batch = [self._waiting.pop(key) for key in list(self._waiting)[: self._pictures]]
            if batch:
                self._deliver(batch, *await loop.run_in_executor(self._thread, self._decode, batch))

    def _decode(self, batch: list[_Work]) -> tuple[Probabilities | ArtoveqError, float, float]:
        began = time.monotonic()
        try:
            answers: Probabilities | ArtoveqError = self._decoder.decode(
                np.stack([work.indices for work in batch]), np.array([work.level for work in batch], np.int64)
            )
        except Exception as error:  # a fault of one batch must not end the service
            log.exception("The decoder failed on a batch of %d.", len(batch))
            answers = ServerError(f"The decoder failed ({error}); the server's log has more.")
        return answers, began, time.monotonic() - began

    def _deliver(
        self, batch: list[_Work], answers: Probabilities | ArtoveqError, began: float, duration: float
    ) -> None:
        metrics.BATCH_SIZE.observe(len(batch))
        metrics.DECODE_SECONDS.observe(duration)
        for i, work in enumerate(batch):
            if isinstance(answers, ArtoveqError):
                work.deliver(answers)
                continue
            queue = max(0.0, began - work.since)
            metrics.QUEUE_SECONDS.observe(queue)
            work.deliver(Answer(work.level, answers[i].copy(), queue, duration))  # a copy lets the batch go
