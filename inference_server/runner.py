"""Runs what the scheduler says: a thread reads payloads, another decodes, all else is done on the event loop."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from inference_server import metrics
from inference_server.answers import Decoded
from inference_server.decoder import Decoder, sizes_of
from inference_server.load import Load
from inference_server.scheduler import Scheduler, Work
from inference_server.speaking.speech import Speech
from inference_server.streams.status import STOPPING
from inference_server.unread import Unread, read
from wire.exceptions import ArtoveqError, ProtocolError, ServerError, ServerUnavailable
from wire.manifest import Manifest
from wire.payload import Indices
from wire.questions import NO_QUESTION, Question
from wire.tasks import Output

log = logging.getLogger(__name__)

_Read = Future[list[Indices | ProtocolError]]
_Outcome = tuple[list[Output | ArtoveqError], float, float]
"""Each picture's output, when the batch's decoding began, and how long it took."""


class DecoderRunner:
    """One decoder and its scheduler. Use from the event loop only.

    ask: is called when something waits and there is no decoder; `opened` or `fail` is to follow.
    """

    def __init__(
        self,
        manifest: Manifest,
        decoder: Decoder | None,
        scheduler: Scheduler,
        ask: Callable[[], object] = lambda: None,
    ) -> None:
        self._ask = ask
        self.decoder, self._scheduler = decoder, scheduler
        self.asked = -math.inf
        """When something was submitted last."""
        self.speech = Speech() if manifest.task.free_text is not None else None
        """What answers in free text, once a picture is decoded."""
        self._sizes = sizes_of(manifest)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="artoveq-decoder")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="artoveq-reader")
        self._wake: asyncio.Handle | None = None
        self._window: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self.load = Load()

    @property
    def device(self) -> str:
        """Where it decodes; empty while it is not loaded."""
        return self.decoder.device if self.decoder is not None else ""

    @property
    def works(self) -> bool:
        """Whether something waits, or is being decoded, or answered."""
        return not self._scheduler.idle or (self.speech is not None and self.speech.busy)

    @property
    def waiting(self) -> int:
        """Pictures that wait to be decoded."""
        return self._scheduler.waiting

    def submit(
        self,
        caller: Hashable,
        owner: Hashable,
        key: Hashable,
        point: int,
        newest: Indices | Unread,
        deliver: Callable[[Decoded | ArtoveqError], None],
        question: Question = NO_QUESTION,
    ) -> None:
        """Queues the newest state of a picture, of one of the caller's owners (its streams).

        deliver: is called on the event loop with its output, or with why it has none; with each part of an answer that
        comes in parts.

        Raises:
            ServerOverloaded: if the queue is full.
        """
        self.asked = time.monotonic()
        if self.speech is not None:
            deliver = self.speech.after((caller, owner, key), caller, question, deliver)
        gone = self._scheduler.submit(owner, key, Work(caller, point, newest, self.asked, deliver, question))
        if gone is not None and gone.caller == caller:
            metrics.COALESCED.inc()
        elif gone is not None:
            asyncio.get_running_loop().call_soon(gone.deliver, self._scheduler.overloaded())
        if self._wake is None:  # later, so that all pictures of a message go together
            self._wake = asyncio.get_running_loop().call_soon(self._feed)

    def withdraw(self, caller: Hashable, owner: Hashable, key: Hashable) -> None:
        """Forgets a waiting picture, and what is being said of it; one that is being decoded is still delivered."""
        self._scheduler.withdraw(caller, owner, key)
        if self.speech is not None:
            self.speech.stop((caller, owner, key))

    async def decode(
        self,
        caller: Hashable,
        point: int,
        newest: Indices | Unread,
        question: Question = NO_QUESTION,
        on_part: Callable[[Decoded], None] = lambda part: None,
    ) -> Decoded:
        """The output for one picture on its own; on_part: is called with each part of it that comes before the whole.

        Raises:
            ServerOverloaded: if the queue is full.
            ProtocolError: if its payload cannot be read.
        """
        future: asyncio.Future[Decoded] = asyncio.get_running_loop().create_future()

        def deliver(outcome: Decoded | ArtoveqError) -> None:
            if future.done():
                return
            if isinstance(outcome, Decoded) and outcome.partial:
                on_part(outcome)
            elif isinstance(outcome, Decoded):
                future.set_result(outcome)
            else:
                future.set_exception(outcome)

        self.submit(caller, None, future, point, newest, deliver, question)
        try:
            return await future
        finally:
            self.withdraw(caller, None, future)

    def opened(self) -> None:
        """There is a decoder now."""
        if self.works:
            self._feed()

    def fail(self, error: ArtoveqError) -> None:
        """There will be none: all that waits learns why."""
        for work in self._scheduler.clear():
            work.deliver(error)

    async def stop(self) -> None:
        """Decodes what waits, then ends."""
        if self.decoder is None:
            self.fail(ServerUnavailable(STOPPING))
        while not self._scheduler.idle:
            self._idle.clear()
            self._feed()
            await self._idle.wait()
        if self.speech is not None:
            await self.speech.finish()
        self._reader.shutdown()
        self._thread.shutdown()

    def _feed(self) -> None:
        """Gives the decoder what it may have now, and comes again when a window ends."""
        self._wake = None
        if self._window is not None:
            self._window.cancel()
            self._window = None
        if self.decoder is None:
            if self._scheduler.waiting:
                self._ask()
            return
        loop, now = asyncio.get_running_loop(), time.monotonic()
        while (batch := self._scheduler.next_batch(now)) is not None:
            reading = self._reader.submit(read, [work.newest for work in batch])  # while the batch before is decoded
            running = loop.run_in_executor(self._thread, self._decode, batch, reading)
            running.add_done_callback(lambda outcome, batch=batch: self._finish(batch, outcome.result()))  # type: ignore[misc]
        if (due := self._scheduler.due()) is not None:
            self._window = loop.call_later(due - now, self._feed)
        if self._scheduler.idle:
            self._idle.set()

    def _decode(self, batch: list[Work], reading: _Read) -> _Outcome:
        """In the decoder's thread."""
        began = time.monotonic()
        try:
            read = reading.result()
            began = time.monotonic()
            outputs = self._outputs(batch, read)
        except Exception as error:  # a fault of one batch must not end the service
            log.exception("The decoder failed on a batch of %d.", len(batch))
            failure = ServerError(f"The decoder failed ({error}); the server's log has more.")
            outputs = [failure for _ in batch]
        return outputs, began, time.monotonic() - began

    def _outputs(self, batch: list[Work], read: list[Indices | ProtocolError]) -> list[Output | ArtoveqError]:
        indices = [one for one in read if not isinstance(one, ProtocolError)]
        if not indices:
            return [one for one in read if isinstance(one, ProtocolError)]
        fit = [work for work, one in zip(batch, read, strict=True) if not isinstance(one, ProtocolError)]
        points, questions = np.array([work.point for work in fit], np.int64), np.stack([work.question for work in fit])
        assert self.decoder is not None, "who works is not unloaded"
        outputs = iter(self.decoder.decode(np.stack(indices), self._sizes[points], points, questions))
        return [one if isinstance(one, ProtocolError) else next(outputs) for one in read]

    def _finish(self, batch: list[Work], outcome: _Outcome) -> None:
        outputs, began, duration = outcome
        self._scheduler.finished(len(batch), duration)
        self._feed()  # first of all: the decoder does not wait while answers are handed out
        metrics.BATCH_SIZE.observe(len(batch))
        metrics.DECODE_SECONDS.observe(duration)
        ended = began + duration
        self.load.decoded(ended, [ended - work.since for work in batch], self._scheduler.waiting)
        for work, output in zip(batch, outputs, strict=True):
            try:
                work.deliver(output if isinstance(output, ArtoveqError) else _decoded(work, output, began, duration))
            except Exception:  # of one picture; the batch's others get theirs
                log.exception("An answer could not be handed out.")


def _decoded(work: Work, output: Output, began: float, duration: float) -> Decoded:
    queue = max(0.0, began - work.since)
    metrics.QUEUE_SECONDS.observe(queue)
    return Decoded(work.point, output.copy(), queue, duration)  # a copy lets the batch go
