"""Batches on their way between a front end and a decoder's process: one frame there, one back, over a Unix socket."""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass, field
from threading import Condition, Event

import numpy as np
from numpy.typing import NDArray

from wire.payload import Indices
from wire.questions import Question
from wire.tasks import Output

OPEN, BATCH, OUTPUT, FAULT = b"o", b"b", b"y", b"f"
"""How frames begin."""
MOST_BYTES = 1 << 30
SHAPE = struct.Struct("<4I")
"""Of an output, with 0 behind its last dimension."""
COUNTS = struct.Struct("<III")
"""Of a batch: pictures, sub-vectors, and words that a question may have."""
Points = NDArray[np.int64]


def batch_frame(indices: Indices, points: Points, questions: Question | None = None) -> bytes:
    """indices (B, M), of these points (B,), with these questions (B, longest); None: none that have a word."""
    asked = np.zeros((len(points), 0), np.int32) if questions is None else questions
    numbers = np.concatenate([points[:, None], indices, asked], axis=1)
    return BATCH + COUNTS.pack(*indices.shape, asked.shape[1]) + numbers.astype("<i4").tobytes()


def read_batch(frame: bytes) -> tuple[Indices, Points, Question]:
    """What `batch_frame` wrote."""
    pictures, sub_vectors, longest = COUNTS.unpack_from(frame, 1)
    numbers = np.frombuffer(frame, "<i4", offset=1 + COUNTS.size).reshape(pictures, 1 + sub_vectors + longest)
    points, indices, questions = np.split(numbers, [1, 1 + sub_vectors], axis=1)
    return np.array(indices, np.int32), points[:, 0].astype(np.int64), np.array(questions, np.int32)


def output_frame(output: Output) -> bytes:
    """A batch's output (B, …), of four dimensions at most."""
    shape = (*output.shape, 0, 0, 0)[:4]
    return OUTPUT + SHAPE.pack(*shape) + output.astype("<f4").tobytes()


def read_output(frame: bytes) -> Output:
    """What `output_frame` wrote."""
    shape = [side for side in SHAPE.unpack_from(frame, 1) if side]
    return np.frombuffer(frame, "<f4", offset=1 + SHAPE.size).reshape(shape).astype(np.float32, copy=False)


@dataclass(eq=False)
class Job:
    """A front end's batch, and what became of it once `done` is set: its output, or why there is none."""

    model: str
    indices: Indices
    points: Points
    questions: Question
    done: Event = field(default_factory=Event)
    outcome: Output | Exception | None = None

    def finish(self, outcome: Output | Exception) -> None:
        """Whoever waits gets this."""
        self.outcome = outcome
        self.done.set()


class Jobs:
    """Batches that wait: of each front end one for each model at most, so that each has its turn."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: deque[Job] = deque()
        self._some = Condition()

    def put(self, job: Job) -> None:
        """Behind the others."""
        with self._some:
            self._waiting.append(job)
            self._some.notify()

    def take(self) -> list[Job]:
        """Waits for the oldest one; with it come others of its model, as long as all have `most` pictures together."""
        with self._some:
            self._some.wait_for(lambda: bool(self._waiting))
            return together(self._waiting, self._most)


def together(waiting: deque[Job], most: int) -> list[Job]:
    """Takes those that are decoded as one: the oldest, and others of its model that leave it at `most` pictures."""
    taken = [waiting.popleft()]
    pictures = len(taken[0].points)
    for job in list(waiting):
        if job.model == taken[0].model and pictures + len(job.points) <= most:
            pictures += len(job.points)
            waiting.remove(job)
            taken.append(job)
    return taken
