"""One picture on one stream: what to send next, until when to wait, when it is over. No clock, no socket.

while (step := request.step(now)) is not None:
    Send: hand the part over;  Wait: take the next event, or come back when that time has come
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from edge_client.rate.estimator import LinkEstimator
from edge_client.rate.points import RatedPoints
from edge_client.rate.policy import Plan, Progress, RatePolicy
from edge_client.rate.uplink import Sample
from edge_client.results import Answer, Result
from edge_client.stream import Arrived, Event, Failed, Part, Ponged, StreamLedger
from wire.exceptions import PointError, ProtocolError, ServerUnavailable
from wire.generated import remote_inference_pb2 as pb
from wire.payload import Indices, PayloadCodec
from wire.tasks import Task

PATIENCE_S = 30.0
"""How long a late answer is waited for. It is late, not lost."""
ANSWER_BYTES = 1 << 20
"""Of all answers to one picture, and their parts; a server that sends more is not listened to."""


@dataclass(frozen=True)
class Send:
    """Send this part now; once it has arrived, so many planes are there."""

    part: Part
    planes: int


@dataclass(frozen=True)
class Wait:
    """Nothing to do before the next event, or this time."""

    until: float


class Request:
    """A picture whose payload goes at once, as a block or a file; one answer.

    part: its message. result: filled; answers that are in it are the edge's own, or came over a stream that broke, and
    are not repeated. Where there are any, no other one is waited for beyond the deadline.
    began: when the picture was handed over.
    """

    def __init__(
        self,
        picture_id: int,
        ledger: StreamLedger,
        task: Task,
        result: Result,
        began: float,
        policy: RatePolicy,
        plan: Plan,
        part: Part | None,
    ) -> None:
        self.picture_id, self.ledger, self.result, self.began = picture_id, ledger, result, began
        self.policy, self.plan = policy, plan
        self._task, self._part = task, part
        self._before, self._answer_bytes = self._whole, 0
        del result.answers[self._before :]
        self._deadline = began + result.budget
        self.complete = False
        """Whether the final answer is there."""
        self.arrived = 0
        self.sample: Sample | None = None
        """What the picture told about the link."""
        self.first_seconds: float | None = None
        """How long its first message was on the link, where that could be told."""
        self.sent_bytes = 0.0
        """On the link, with what is around payloads."""

    @property
    def payload(self) -> bytes:
        """Of the message that is still to be sent."""
        if self._part is None or isinstance(self._part, pb.Question):
            return b""
        return self._part.file if isinstance(self._part, pb.PictureFile) else self._part.data

    def step(self, now: float) -> Send | Wait | None:
        """What to do now; None once it is over.

        Raises:
            ServerUnavailable: if no answer has come for too long.
        """
        if self.complete:
            return None
        if self._before and now >= self._deadline:  # else the final answer is waited for
            self._over(now)
            return None
        if self._part is not None:
            self._spent(len(self.payload) + len(self._part.question.encode()), self.ledger.around_bytes)
            part, self._part = self._part, None
            return Send(part, 0)
        return self._wait(now)

    def receive(self, event: Event, now: float) -> Answer | None:
        """Something has come; an answer that the caller does not know yet.

        Raises:
            ArtoveqError: if the picture, or the stream, has failed.
        """
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Arrived):
            self._learn(event)
        if isinstance(event, (Arrived, Ponged)):
            return None
        self._answer_bytes += event.message.ByteSize()
        if self._answer_bytes > ANSWER_BYTES:
            raise ProtocolError(f"The server sends more than {ANSWER_BYTES:,} bytes of answers to one picture.")
        answer = Answer.from_message(event.message, self._task, now - self.began, self.result.payload_bytes)
        self.complete = answer.final and not answer.partial
        known = self.result.answers
        if self._before and answer.point <= known[self._before - 1].point:
            return None
        del known[self._whole :]  # a part of this answer, or of one that a newer state of the picture ended
        known.append(answer)
        if self.result.file is not None:
            self.result.point = answer.point
        return answer

    def _spent(self, payload_bytes: int, around_bytes: int) -> None:
        self.result.payload_bytes += payload_bytes
        self.sent_bytes += payload_bytes + around_bytes

    @property
    def _whole(self) -> int:
        """How many answers are there that are not still being said: all, but for the newest perhaps."""
        answers = self.result.answers
        return len(answers) - bool(answers and answers[-1].partial)

    def _over(self, now: float) -> None:
        """No more is waited for. What has not arrived by now says something about the link, too."""
        del self.result.answers[self._whole :]
        overdue = self._overdue(now)
        if overdue is not None and (self.sample is None or overdue.capacity < self.sample.capacity):
            self._count(overdue)

    def _overdue(self, now: float) -> Sample | None:
        return self.ledger.overdue(0.0, now)

    @property
    def give_up(self) -> bool:
        """Whether an answer may still come that is of no use any more."""
        return not self.complete

    def _wait(self, now: float) -> Wait:
        """For an answer: until the deadline where one is there, else with patience."""
        if self._whole:
            return Wait(self._deadline)
        until = self.began + max(PATIENCE_S, self.result.budget)
        if now >= until:
            raise ServerUnavailable(f"No answer came within {PATIENCE_S:g} s; the link or the server has stalled.")
        return Wait(until)

    def _learn(self, event: Arrived) -> None:
        if not self.arrived and self.first_seconds is None and event.sample is not None:
            self.first_seconds = event.sample.seconds
        self.arrived = event.planes
        self._count(event.sample)

    def _count(self, sample: Sample | None) -> None:
        if sample is not None:
            self.sample = sample if self.sample is None else self.sample + sample


@dataclass(frozen=True)
class Refinement:
    """What a picture needs that goes plane by plane.

    indices: (M,) at the chain's last point. points: of the chain, as far as may be sent.
    """

    indices: Indices
    codec: PayloadCodec
    points: RatedPoints
    estimator: LinkEstimator
    min_confidence: float
    top_k: int
    question: str = ""


class ProgressiveRequest(Request):
    """A picture that goes in runs of planes: first those of the plan, then as the policy says, until the deadline."""

    def __init__(
        self,
        picture_id: int,
        ledger: StreamLedger,
        task: Task,
        result: Result,
        began: float,
        policy: RatePolicy,
        plan: Plan,
        refinement: Refinement,
    ) -> None:
        super().__init__(picture_id, ledger, task, result, began, policy, plan, None)
        self._refinement = refinement
        self._planes, self._runs = 0, deque(plan.runs)

    def step(self, now: float) -> Send | Wait | None:
        """What to do now; None once it is over. Without any answer the first run goes however late it is."""
        answers = self.result.answers[: self._whole]
        sure = bool(answers) and answers[-1].confidence >= self._refinement.min_confidence
        if self.complete or sure or (answers and now >= self._deadline):
            self._over(now)
            return None
        until = self._next(now)
        return self._wait(now) if until is None else self._send(until)

    def _next(self, now: float) -> int | None:
        """Up to which plane the next message goes, where one is due."""
        needs = self._refinement
        if self._planes:
            needs.estimator.at_most(self.sample)
            needs.estimator.at_most(self._overdue(now))
            if now >= self._deadline:
                self._runs.clear()
            elif not self._runs and self._planes < needs.points.planes[-1]:
                link = self.ledger.link(needs.estimator)
                sent = self._planes, self.arrived, self._answered
                progress = Progress(now, needs.points, link, self._deadline, *sent)
                plan = self.policy.observe(progress)
                self._runs = deque(plan.runs if plan else ())
        return self._runs.popleft() if self._runs else None

    @property
    def _answered(self) -> int:
        """From how many planes the newest answer was made."""
        points, served = self._refinement.points, self.result.served
        return int(points.planes[points.number == served[-1].point].max(initial=0)) if served else 0

    def _send(self, until: int) -> Send:
        needs, first = self._refinement, self._planes + 1
        most = int(needs.points.planes[-1])
        if not first <= until <= most:
            raise PointError(f"The policy planned planes {first} to {until}; they go from {first} to {most}.")
        data, packed = needs.codec.write_run(needs.indices, first, until - first + 1)
        question = "" if self._planes else needs.question
        around_bytes = self.ledger.message_bytes if self._planes else self.ledger.around_bytes
        self._spent(len(data) + len(question.encode()), around_bytes)
        payload = pb.Payload(
            picture_id=self.picture_id,
            point=int(needs.points.number[-1]),
            first_plane=first,
            plane_count=until - first + 1,
            data=data,
            packed=packed,
            top_k=needs.top_k if needs.top_k > 1 else 0,
            question=question,
        )
        self._planes = until
        return Send(payload, until)

    def _overdue(self, now: float) -> Sample | None:
        return self.ledger.overdue(self._refinement.estimator.overhead_s(self.ledger.round_trip), now)
