"""Work that waits until it is its caller's turn, and is timed: what it takes of the event loop's thread."""

from __future__ import annotations

import asyncio
import time
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

from inference_server.access.fairness import Fairness
from inference_server.access.presence import Presence
from inference_server.access.rounds import Rounds

T = TypeVar("T")

CALL_S = 0.002
"""That gRPC or HTTP takes for a call beside its work, about, on one core of a small machine."""
MESSAGE_S = 0.00015
"""That gRPC takes for a message of a stream, likewise."""
ANSWER_S = 0.0013
"""That decoding a picture and saying its answer on a stream take, likewise."""


class Cost:
    """Seconds of the event loop's time, since they were last taken."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def add(self, seconds: float) -> None:
        """A step has taken so long."""
        self._seconds += seconds

    def take(self) -> float:
        """What has come together; counts anew."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds


class Turns(Rounds):
    """In each round of the event loop one piece of work begins: the oldest of the caller whose turn it is.

    While others are about, a caller takes no more than its share; while none are, it waits for nothing.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.fairness, self.presence = Fairness(share), Presence()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._later: asyncio.TimerHandle | None = None

    async def turn(self, caller: str) -> None:
        """Waits until the caller's next piece of work may begin."""
        now = time.monotonic()
        if not self.presence.others_than(caller, now):
            self.fairness.begins(caller)
            return
        if not self._begun and not self._waiting and self.fairness.free_at(caller) <= now:
            self.fairness.begins(caller)
            self._begin()
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(turn)
        if not self._begun:
            self._round()
        await turn

    def worked(self, caller: str, seconds: float) -> None:
        """A piece of the caller's work has taken so long of the loop."""
        self.fairness.worked(caller, seconds, time.monotonic())

    def decodes(self, caller: str) -> None:
        """A picture of the caller's is decoded, and its answer said: charged before it is done."""
        self.worked(caller, ANSWER_S)

    async def piece(self, caller: str, work: Coroutine[Any, Any, T]) -> T:
        """What `work`, one piece of the caller's, results in."""
        cost = Cost()
        try:
            await self.turn(caller)
        except BaseException:
            work.close()
            raise
        finally:
            self.worked(caller, CALL_S)  # before its work: who begins many at once has had them
        try:
            return await timed(work, cost)
        finally:
            self.worked(caller, cost.take())

    def _chosen(self) -> asyncio.Future[None] | None:
        now = time.monotonic()
        if self._later is not None:
            self._later.cancel()
            self._later = None
        while self._waiting:
            caller = self.fairness.next_of(self._waiting, now)
            if caller is None:
                soonest = min(self.fairness.free_at(one) for one in self._waiting)
                self._later = asyncio.get_running_loop().call_later(soonest - now, self._round)
                return None
            turn = self._waiting[caller].popleft()
            if not self._waiting[caller]:
                del self._waiting[caller]
            if not turn.done():
                self.fairness.begins(caller)
                return turn
        return None


@types.coroutine
def timed(work: Coroutine[Any, Any, T], cost: Cost) -> Generator[Any, Any, T]:
    """The coroutine's result; its steps are added to the cost."""
    step: Callable[[], Any] = lambda: work.send(None)  # noqa: E731
    while True:
        began = time.thread_time()
        try:
            waits_for = step()
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        finally:
            cost.add(time.thread_time() - began)
        try:
            yield waits_for
        except GeneratorExit:
            work.close()
            raise
        except BaseException as error:
            thrown = error
            step = lambda: work.throw(thrown)  # noqa: E731, B023
        else:
            step = lambda: work.send(None)  # noqa: E731
