"""What a caller gets back for a picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from wire.exceptions import ServerError, UsageError
from wire.generated import remote_inference_pb2 as pb
from wire.pictures import Picture
from wire.shown import shown
from wire.tasks import Task
from wire.tasks.classification import Classification, ClassificationTask, ClassProbability
from wire.tasks.question_answering import PossibleAnswer, QuestionAnswer
from wire.tasks.reconstruction import Reconstruction


@dataclass(frozen=True)
class Answer:
    """One answer, made from operating point `point`, `after` seconds after the picture was handed over.

    Attributes:
        value: the task's own type; `wire.tasks.classification.Classification` where classes are told apart,
            `wire.tasks.reconstruction.Reconstruction` where the answer is the picture, and
            `wire.tasks.question_answering.QuestionAnswer` where it is that to a question.
        final: no further one will come.
        queue: seconds on the server.
        decode: seconds on the server.
        payload_bytes: sent for the picture until then.
        partial: more of it is being said, in free text; a result has whole answers alone.
        local: the edge itself gave it (point 0): no byte was sent for it.
    """

    point: int
    value: Any
    final: bool
    after: float
    queue: float = 0.0
    decode: float = 0.0
    payload_bytes: int = 0
    partial: bool = False
    local: bool = False
    task: Task = field(default_factory=ClassificationTask, repr=False, compare=False)

    @classmethod
    def from_message(cls, message: pb.Answer, task: Task, after: float, payload_bytes: int) -> Answer:
        """As the server sent it.

        Raises:
            ProtocolError: if it is another task's.
        """
        return cls(
            message.point,
            task.read(message),
            message.final,
            after,
            message.queue_us / 1e6,
            message.decode_us / 1e6,
            payload_bytes,
            message.partial,
            task=task,
        )

    @property
    def classes(self) -> tuple[ClassProbability, ...]:
        """The most probable classes, best first.

        Raises:
            UsageError: if the model does not tell classes apart.
        """
        if not isinstance(self.value, Classification):
            raise UsageError("This model's answers are no classes; read `value` in place of `best` or `classes`.")
        return self.value.classes

    @property
    def picture(self) -> Picture:
        """The reconstruction: uint8 (side, side, 3), RGB.

        Raises:
            UsageError: if the model does not reconstruct pictures.
            ProtocolError: if the server's file is damaged.
        """
        if not isinstance(self.value, Reconstruction):
            raise UsageError("This model's answers are no pictures; read `value`, or ask a server that reconstructs.")
        return self.value.picture

    @property
    def reply(self) -> PossibleAnswer:
        """The most probable answer to the question.

        Raises:
            UsageError: if the model answers no questions.
        """
        if not isinstance(self.value, QuestionAnswer):
            raise UsageError("This model answers no questions; read `value`, or ask a server whose model does.")
        return self.value.best

    @property
    def best(self) -> ClassProbability:
        """The most probable class."""
        return self.classes[0]

    @property
    def confidence(self) -> float:
        """How probably it is right, 0 … 1."""
        return self.task.confidence(self.value)

    @property
    def text(self) -> str:
        """For people."""
        return shown(self.task.text(self.value))

    def as_record(self) -> dict[str, Any]:
        """As JSON values: times in milliseconds."""
        return {
            **self.headline(),
            "local": self.local,
            "point": self.point,
            "payload_bytes": self.payload_bytes,
            "after_ms": round(self.after * 1000, 2),
            **_rounded(self.task.describe(self.value)),
        }

    def headline(self) -> dict[str, Any]:
        """What it comes to, as JSON values."""
        if isinstance(self.value, Classification):
            return {"class": self.best.name, "probability": round(self.best.probability, 4)}
        if isinstance(self.value, QuestionAnswer):
            return {"answer": self.reply.text, "probability": round(self.reply.probability, 4)}
        return {"answer": self.text}


@dataclass
class Result:
    """Everything about one picture. `answers` holds one, or in progressive mode one for each state that was decoded;
    before them the edge's own, where it has one.

    Attributes:
        point: what was sent for it at most, 0 for nothing; with a file, what the server made of it.
        budget: seconds.
        capacity: bits per second as measured when the point was chosen, None before any measurement.
        round_trip: seconds, the shortest of late.
        encode: seconds.
        payload_bytes: sent for it.
        file: side and quality, where the picture was sent as a WebP file.
        request_id: names the picture in the server's log, too.
        sizes: of its segments' codebooks.
        answers: in the order in which they came.
        error: why no server answers, where the edge's own answer stands because of that.
    """

    point: int
    budget: float
    capacity: float | None
    round_trip: float
    encode: float = 0.0
    payload_bytes: int = 0
    file: tuple[int, int] | None = None
    request_id: str = ""
    sizes: tuple[int, ...] = ()
    answers: list[Answer] = field(default_factory=list)
    error: ServerError | None = None

    @property
    def local(self) -> bool:
        """Whether the newest answer, which stands, is the edge's own."""
        return self.answers[-1].local

    @property
    def served(self) -> list[Answer]:
        """The server's answers."""
        return [answer for answer in self.answers if not answer.local]

    @property
    def timed(self) -> Answer:
        """The answer whose times tell about link and server: the first of the server's, else the edge's own."""
        return (self.served or self.answers)[0]

    @property
    def best(self) -> ClassProbability:
        """The newest answer's most probable class."""
        return self.answers[-1].best

    @property
    def reply(self) -> PossibleAnswer:
        """The newest answer's most probable answer to the question."""
        return self.answers[-1].reply

    @property
    def picture(self) -> Picture:
        """The newest answer's reconstruction: uint8 (side, side, 3), RGB."""
        return self.answers[-1].picture

    @property
    def latency(self) -> float:
        """Seconds from the picture to its newest answer."""
        return self.answers[-1].after

    @property
    def deadline_met(self) -> bool:
        """Whether an answer came within the budget."""
        return self.answers[0].after <= self.budget

    def as_record(self) -> dict[str, Any]:
        """As JSON values: times in milliseconds."""
        return {
            "request_id": self.request_id,
            **self.answers[-1].headline(),
            "local": self.local,
            "point": self.point,
            "sizes": list(self.sizes),
            "file": None if self.file is None else {"side": self.file[0], "quality": self.file[1]},
            "payload_bytes": self.payload_bytes,
            "latency_ms": round(self.latency * 1000, 2),
            "budget_ms": round(self.budget * 1000, 2),
            "deadline_met": self.deadline_met,
            "capacity_bits_per_second": None if self.capacity is None else round(self.capacity),
            "answers": [answer.as_record() for answer in self.answers],
            **({} if self.error is None else {"unanswered": str(self.error)}),
        }


def _rounded(value: Any) -> Any:
    """Floats to four digits."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(one) for one in value]
    return value
