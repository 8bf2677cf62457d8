"""Which pictures are decoded together, and when. It has no clock and no thread: `runner.py` has them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from inference_server.answers import Decoded
from wire.exceptions import ArtoveqError, ServerOverloaded
from wire.payload import Indices

AHEAD = 2
"""Batches that the decoder is given at once, so that it never stands still between two."""
PACE_WEIGHT = 0.1
"""Of the newest batch, in the mean time that a picture takes."""


@dataclass(frozen=True, slots=True)
class Work:
    """The newest state of a picture, to be decoded, and who takes what becomes of it."""

    point: int
    indices: Indices
    since: float
    """When it came, in seconds."""
    deliver: Callable[[Decoded | ArtoveqError], None]


class Scheduler:
    """Pictures that wait, in a queue for each owner. Times are in seconds, of any one clock.

    A batch takes one picture of each owner in turn, so that nobody waits for somebody else's many. While a picture
    waits, its newer state replaces the older one and keeps its place: under load only the newest is decoded.
    """

    def __init__(self, *, batch_pictures: int, window: float, queue_pictures: int) -> None:
        self._most, self._window, self._limit = batch_pictures, window, queue_pictures
        self._queues: OrderedDict[Hashable, dict[Hashable, Work]] = OrderedDict()
        self._window_ends = 0.0
        self._in_flight = 0
        self._pace = 0.0
        self.waiting = 0
        """Pictures that wait to be decoded."""

    @property
    def idle(self) -> bool:
        """Whether nothing waits, and nothing is being decoded."""
        return not self.waiting and not self._in_flight

    def submit(self, owner: Hashable, key: Hashable, work: Work) -> bool:
        """Queues the newest state of an owner's picture; returns whether an older one was waiting.

        Raises:
            ServerOverloaded: if the queue is full, with the time that it takes to decode what is in it.
        """
        queue = self._queues.get(owner)
        replaces = queue is not None and key in queue
        if not replaces:
            if self.waiting >= self._limit:
                raise ServerOverloaded(
                    f"{self._limit} pictures are waiting already; try again a little later.", self.waiting * self._pace
                )
            if self.idle:
                self._window_ends = work.since + self._window
            self.waiting += 1
        if queue is None:
            queue = self._queues[owner] = {}
        queue[key] = work
        return replaces

    def withdraw(self, owner: Hashable, key: Hashable) -> None:
        """Forgets a waiting picture; one that is being decoded is still delivered."""
        queue = self._queues.get(owner)
        if queue is not None and queue.pop(key, None) is not None:
            self.waiting -= 1
            if not queue:
                del self._queues[owner]

    def due(self) -> float | None:
        """When the next batch may be taken, if nothing else happens; None: only after something else has."""
        if self._in_flight >= AHEAD or not self.waiting:
            return None
        if self.waiting >= self._most:
            return 0.0
        return None if self._in_flight else self._window_ends

    def next_batch(self, now: float) -> list[Work] | None:
        """What is decoded next, the oldest picture of each owner in turn; None: nothing yet.

        While a batch is being decoded, a second one is given out only where it is full.
        """
        due = self.due()
        if due is None or now < due:
            return None
        batch: list[Work] = []
        while self._queues and len(batch) < self._most:
            owner, queue = next(iter(self._queues.items()))
            batch.append(queue.pop(next(iter(queue))))
            if queue:
                self._queues.move_to_end(owner)
            else:
                del self._queues[owner]
        self.waiting -= len(batch)
        self._in_flight += 1
        return batch

    def finished(self, pictures: int, seconds: float) -> None:
        """The oldest batch that was given out has been decoded; what came meanwhile waits for no window."""
        self._in_flight -= 1
        self._window_ends = 0.0
        self._pace += PACE_WEIGHT * (seconds / pictures - self._pace)
