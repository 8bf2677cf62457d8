"""Batches across streams: what waits while the decoder is busy goes into its next batch together, fairly."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
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


_Outcome = tuple[Probabilities | ArtoveqError, float, float]
"""Answers, when their decoding began, and how long it took."""
AHEAD = 2


class Batcher:
    """One decoder, fed from a queue for each owner. Submit from the event loop only.

    A batch takes one picture of each owner in turn, so that nobody waits for somebody else's many.
    While a picture waits, newer planes replace its older request, which keeps its place in the
    queue: under load only the newest state of a picture is decoded.
    """

    def __init__(self, decoder: Decoder, *, pictures: int, window: float, queue: int) -> None:
        self._decoder = decoder
        self._pictures, self._window, self._limit = pictures, window, queue
        self._queues: OrderedDict[Hashable, dict[Hashable, _Work]] = OrderedDict()
        self.waiting = 0
        """Pictures that wait to be decoded."""
        self._pace = 0.0
        self._decoding: deque[tuple[list[_Work], asyncio.Future[_Outcome]]] = deque()
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
        self,
        owner: Hashable,
        key: Hashable,
        level: int,
        indices: Indices,
        deliver: Callable[[Answer | ArtoveqError], None],
    ) -> None:
        """Queues the newest state of an owner's picture; `deliver` is called on the event loop with its answer.

        Raises:
            ServerOverloaded: if the queue is full, with the time that it takes to decode what is in it.
        """
        older = self._queues.get(owner, {}).get(key)
        if older is not None:
            metrics.COALESCED.inc()
        elif self.waiting >= self._limit:
            raise ServerOverloaded(
                f"{self._limit} pictures are waiting already; try again a little later.", self.waiting * self._pace
            )
        else:
            self.waiting += 1
        self._queues.setdefault(owner, {})[key] = _Work(level, indices, deliver)
        self._idle.clear()
        self._arrived.set()

    def withdraw(self, owner: Hashable, key: Hashable) -> None:
        """Forgets a waiting picture; one that is being decoded is still delivered."""
        queue = self._queues.get(owner, {})
        if queue.pop(key, None) is not None:
            self.waiting -= 1
            if not queue:
                del self._queues[owner]

    def _take(self) -> list[_Work]:
        """The next batch: the oldest picture of each owner in turn."""
        batch: list[_Work] = []
        while self._queues and len(batch) < self._pictures:
            owner, queue = next(iter(self._queues.items()))
            batch.append(queue.pop(next(iter(queue))))
            if queue:
                self._queues.move_to_end(owner)
            else:
                del self._queues[owner]
        self.waiting -= len(batch)
        return batch

    async def predict(self, owner: Hashable, level: int, indices: Indices) -> Answer:
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

        self.submit(owner, future, level, indices, deliver)
        try:
            return await future
        finally:
            self.withdraw(owner, future)

    async def _run(self) -> None:
        while True:
            if not self.waiting:
                self._idle.set()
                self._arrived.clear()
                await self._arrived.wait()
                if self._window and self.waiting < self._pictures:
                    await asyncio.sleep(self._window)
            self._feed()
            while self._decoding:
                batch, outcome = self._decoding[0]
                await outcome
                self._decoding.popleft()
                self._feed()  # first of all: the decoder does not wait while answers are handed out
                self._deliver(batch, *outcome.result())

    def _feed(self) -> None:
        """The decoder gets what waits; and a second batch, where a whole one waits, so that it never stands still."""
        loop = asyncio.get_running_loop()
        while self.waiting >= (self._pictures if self._decoding else 1) and len(self._decoding) < AHEAD:
            batch = self._take()
            self._decoding.append((batch, loop.run_in_executor(self._thread, self._decode, batch)))

    def _decode(self, batch: list[_Work]) -> _Outcome:
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
        self._pace += 0.1 * (duration / len(batch) - self._pace)
        for i, work in enumerate(batch):
            if isinstance(answers, ArtoveqError):
                work.deliver(answers)
                continue
            queue = max(0.0, began - work.since)
            metrics.QUEUE_SECONDS.observe(queue)
            work.deliver(Answer(work.level, answers[i].copy(), queue, duration))  # a copy lets the batch go
