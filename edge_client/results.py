"""What a caller gets back for a picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from wire.generated import remote_inference_pb2 as pb


@dataclass(frozen=True)
class ClassProbability:
    """A class of the model, and how probable the server holds it."""

    index: int
    name: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """One answer: made from the first `planes` bit-planes, `after` seconds after the picture was handed over."""

    planes: int
    classes: tuple[ClassProbability, ...]
    final: bool
    after: float
    queue: float
    decode: float

    @property
    def best(self) -> ClassProbability:
        return self.classes[0]

    @classmethod
    def from_message(cls, message: pb.Prediction, after: float) -> Prediction:
        classes = tuple(ClassProbability(c.index, c.name, c.probability) for c in message.classes)
        return cls(message.planes_used, classes, message.final, after, message.queue_us / 1e6, message.decode_us / 1e6)


@dataclass
class Result:
    """Everything about one picture. `predictions` holds one answer, or one per plane in progressive mode.

    capacity: bits per second as measured when the level was chosen, None before any measurement.
    round_trip, encode, latency, budget: seconds. latency is the time of the last prediction.
    webp: side and quality, where the picture was sent as a file; the level is then the server's.
    request_id: names the picture in the server's log, too.
    """

    level: int
    budget: float
    capacity: float | None
    round_trip: float
    encode: float = 0.0
    payload_bytes: int = 0
    webp: tuple[int, int] | None = None
    request_id: str = ""
    predictions: list[Prediction] = field(default_factory=list)

    @property
    def best(self) -> ClassProbability:
        """The newest answer's most probable class."""
        return self.predictions[-1].best

    @property
    def latency(self) -> float:
        return self.predictions[-1].after

    @property
    def deadline_met(self) -> bool:
        """Whether an answer came within the budget."""
        return self.predictions[0].after <= self.budget

    def as_record(self) -> dict[str, Any]:
        """As JSON values: times in milliseconds."""
        return {
            "request_id": self.request_id,
            "class": self.best.name,
            "probability": round(self.best.probability, 4),
            "level": self.level,
            "webp": None if self.webp is None else {"side": self.webp[0], "quality": self.webp[1]},
            "payload_bytes": self.payload_bytes,
            "latency_ms": round(self.latency * 1000, 2),
            "budget_ms": round(self.budget * 1000, 2),
            "deadline_met": self.deadline_met,
            "capacity_bits_per_second": None if self.capacity is None else round(self.capacity),
            "predictions": [
                {
                    "planes": p.planes,
                    "after_ms": round(p.after * 1000, 2),
                    "classes": [{"name": c.name, "probability": round(c.probability, 4)} for c in p.classes],
                }
                for p in self.predictions
            ],
        }
