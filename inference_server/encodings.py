"""Picture files that are read and encoded off the event loop: one caller's after another's, in turn."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from wire.exceptions import ServerOverloaded

T = TypeVar("T")

NICER_BY = 5
"""The priority of the threads below the process's: they take long, and give way to the decoder and the event loop."""


@dataclass(frozen=True, eq=False)
class _Job(Generic[T]):
    caller: str
    work: Callable[[], T]
    done: asyncio.Future[T]


class Encodings(Generic[T]):
    """So many at once in all, and of one caller, those that wait for a thread with them. Use from the event loop only.

    A job that has begun counts until it ends, though nobody waits for it any more.
    """

    def __init__(self, *, most: int, most_of_caller: int, threads: int) -> None:
        self._most, self._most_of_caller, self._idle = most, most_of_caller, threads
        self._threads = ThreadPoolExecutor(threads, "artoveq-picture", _give_way)
        self._of: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[_Job[T]]] = OrderedDict()

    @property
    def busy(self) -> bool:
        """Whether there are any."""
        return self._of.total() > 0

    async def run(self, caller: str, work: Callable[[], T]) -> T:
        """What `work` gives, in a thread.

        Raises:
            ServerOverloaded: if there are too many.
        """
        if self._of[caller] >= self._most_of_caller:
            raise ServerOverloaded(f"{self._of[caller]} picture files of {caller} are being read; wait for answers.")
        if self._of.total() >= self._most:
            raise ServerOverloaded(f"{self._most} picture files are being read already; try again a little later.")
        job: _Job[T] = _Job(caller, work, asyncio.get_running_loop().create_future())
        self._of[caller] += 1
        self._waiting.setdefault(caller, deque()).append(job)
        self._feed()
        try:
            return await job.done
        finally:
            self._forget(job)

    def stop(self) -> None:
        """What nobody has begun is left."""
        for jobs in self._waiting.values():
            for job in jobs:
                job.done.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _feed(self) -> None:
        while self._idle and self._waiting:
            caller, jobs = self._waiting.popitem(last=False)
            job = jobs.popleft()
            if jobs:
                self._waiting[caller] = jobs  # behind the others
            self._idle -= 1
            running = asyncio.get_running_loop().run_in_executor(self._threads, job.work)
            running.add_done_callback(lambda done, job=job: self._finish(job, done))  # type: ignore[misc]

    def _finish(self, job: _Job[T], done: asyncio.Future[T]) -> None:
        self._idle += 1
        self._give_back(job.caller)
        if done.cancelled():
            job.done.cancel()
        elif (error := done.exception()) is not None:
            if not job.done.done():
                job.done.set_exception(error)
        elif not job.done.done():
            job.done.set_result(done.result())
        self._feed()

    def _forget(self, job: _Job[T]) -> None:
        """Takes back what has not begun; whoever waited for it is gone."""
        jobs = self._waiting.get(job.caller)
        if jobs is not None and job in jobs:
            jobs.remove(job)
            self._give_back(job.caller)
            if not jobs:
                del self._waiting[job.caller]

    def _give_back(self, caller: str) -> None:
        self._of[caller] -= 1
        if not self._of[caller]:
            del self._of[caller]


def _give_way() -> None:
    if sys.platform == "linux":  # where each thread has a priority of its own
        number = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, number, os.getpriority(os.PRIO_PROCESS, number) + NICER_BY)
