"""Which pictures are decoded together, and when. It has no clock and no thread: `runner.py` has them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from itertools import islice

from inference_server.access.presence import Presence
from inference_server.answers import Decoded
from inference_server.unread import Unread
from wire.exceptions import ArtoveqError, ServerOverloaded
from wire.payload import Indices
from wire.questions import NO_QUESTION, Question

AHEAD = 2
"""Batches that the decoder is given at once, so that it never stands still between two; one while other callers are
about, who would wait for both."""
PACE_WEIGHT = 0.1
"""Of the newest batch, in the mean time that a picture takes."""


@dataclass(frozen=True, slots=True)
class Work:
    """The newest state of a picture, to be decoded, who sent it, and who takes what becomes of it."""

    caller: Hashable
    point: int
    newest: Indices | Unread
    since: float
    """When it came, in seconds."""
    deliver: Callable[[Decoded | ArtoveqError], None]
    question: Question = field(default_factory=lambda: NO_QUESTION)
    """(longest,), where the model answers questions."""


class _Caller:
    """What one caller has waiting: by owner, whose turn is next first, and by picture, the oldest first."""

    __slots__ = ("owners", "waiting")

    def __init__(self) -> None:
        self.owners: OrderedDict[Hashable, dict[Hashable, Work]] = OrderedDict()
        self.waiting = 0

    def next(self) -> Work:
        """Takes the oldest picture of the owner whose turn it is."""
        owner, queue = next(iter(self.owners.items()))
        work = queue.pop(next(iter(queue)))
        if queue:
            self.owners.move_to_end(owner)
        else:
            del self.owners[owner]
        self.waiting -= 1
        return work

    def newest(self) -> Work:
        """Takes the newest picture of the owner that has most."""
        owner, queue = max(self.owners.items(), key=lambda one: len(one[1]))
        _, work = queue.popitem()
        if not queue:
            del self.owners[owner]
        self.waiting -= 1
        return work


class Scheduler:
    """Pictures that wait. Times are in seconds, of any one clock.

    A batch takes one picture of each caller in turn, and of a caller's owners (its streams) one in turn, so that nobody
    waits for somebody else's many. While a picture waits, its newer state replaces the older one and keeps its place:
    under load only the newest is decoded.

    caller_pictures: of one caller in a batch while others are about: who comes waits for the batches before.
    """

    def __init__(self, *, batch_pictures: int, caller_pictures: int, window: float, queue_pictures: int) -> None:
        self._most, self._window, self._limit = batch_pictures, window, queue_pictures
        self.caller_pictures = caller_pictures
        self._callers: OrderedDict[Hashable, _Caller] = OrderedDict()
        self._presence = Presence()
        self._shared = False
        self._window_ends = 0.0
        self._in_flight = 0
        self._pace = 0.0
        self.waiting = 0
        """Pictures that wait to be decoded."""

    @property
    def idle(self) -> bool:
        """Whether nothing waits, and nothing is being decoded."""
        return not self.waiting and not self._in_flight

    def submit(self, owner: Hashable, key: Hashable, work: Work) -> Work | None:
        """Queues the newest state of an owner's picture.

        Returns what waits no longer: the picture's older state; or, where the queue is full, and the caller has less
        than its share of it, the newest picture of the caller that has most.

        Raises:
            ServerOverloaded: if the queue is full, with the time that it takes to decode what is in it.
        """
        caller = self._callers.get(work.caller)
        queue = caller.owners.get(owner) if caller else None
        if queue and key in queue:
            older, queue[key] = queue[key], work
            return older
        displaced = None
        if self.waiting >= self._limit:
            displaced = self._displaced_by(caller)
        elif self.idle:
            self._window_ends = work.since + self._window
        self._presence.sent_picture(work.caller, work.since)
        if caller is None:
            caller = self._callers[work.caller] = _Caller()
        self._share(work.since)
        if queue is None:
            queue = caller.owners[owner] = {}
        queue[key] = work
        caller.waiting += 1
        self.waiting += 1
        return displaced

    def _displaced_by(self, caller: _Caller | None) -> Work:
        """Takes what gives way in a full queue. The share is that of all callers who have something in it."""
        callers = len(self._callers) + (caller is None)
        if (caller.waiting if caller else 0) >= self._limit // callers:
            raise self.overloaded()
        most = max(self._callers.values(), key=lambda one: one.waiting)
        displaced = most.newest()  # it has more than one: else nobody had less than a share
        self.waiting -= 1
        return displaced

    def overloaded(self) -> ServerOverloaded:
        """What is said to whom the queue has no room for."""
        return ServerOverloaded(
            f"{self.waiting} pictures are waiting already; try again a little later.", self.waiting * self._pace
        )

    def clear(self) -> list[Work]:
        """Forgets all that waits, and gives it."""
        gone = [
            work for caller in self._callers.values() for queue in caller.owners.values() for work in queue.values()
        ]
        self._callers.clear()
        self.waiting = 0
        return gone

    def withdraw(self, caller: Hashable, owner: Hashable, key: Hashable) -> None:
        """Forgets a waiting picture; one that is being decoded is still delivered."""
        one = self._callers.get(caller)
        queue = one.owners.get(owner) if one else None
        if one and queue and queue.pop(key, None) is not None:
            self.waiting -= 1
            one.waiting -= 1
            if not queue:
                del one.owners[owner]
            if not one.waiting:
                del self._callers[caller]

    def due(self) -> float | None:
        """When the next batch may be taken, if nothing else happens; None: only after something else has."""
        if self._in_flight >= (1 if self._shared else AHEAD) or not self.waiting:
            return None
        if self.waiting >= self._most:
            return 0.0
        return None if self._in_flight else self._window_ends

    def next_batch(self, now: float) -> list[Work] | None:
        """What is decoded next, a picture of each caller in turn; None: nothing yet.

        While a batch is being decoded, a second one is given out only where it is full.
        """
        self._share(now)
        due = self.due()
        if due is None or now < due:
            return None
        batch: list[Work] = []
        for _ in range(self.caller_pictures if self._shared else self._most):
            for name, caller in list(islice(self._callers.items(), self._most - len(batch))):
                batch.append(caller.next())
                if caller.waiting:
                    self._callers.move_to_end(name)
                else:
                    del self._callers[name]
            if not self._callers or len(batch) == self._most:
                break
        self.waiting -= len(batch)
        self._in_flight += 1
        return batch

    def _share(self, now: float) -> None:
        self._shared = len(self._callers) > 1 or self._presence.several(now)

    def finished(self, pictures: int, seconds: float) -> None:
        """The oldest batch that was given out has been decoded; what came meanwhile waits for no window."""
        self._in_flight -= 1
        self._window_ends = 0.0
        self._pace += PACE_WEIGHT * (seconds / pictures - self._pace)
