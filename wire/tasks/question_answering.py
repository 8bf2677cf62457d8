"""Question answering: the answers that a question about the picture may have, each with its probability."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wire.exceptions import ProtocolError
from wire.generated import remote_inference_pb2 as pb
from wire.manifest import Manifest
from wire.shown import shown
from wire.tasks.classification import softmax


@dataclass(frozen=True)
class PossibleAnswer:
    """An answer, and how probably it is right."""

    index: int
    text: str
    probability: float


@dataclass(frozen=True)
class QuestionAnswer:
    """The most probable answers, best first; at least one."""

    answers: tuple[PossibleAnswer, ...]

    @property
    def best(self) -> PossibleAnswer:
        """The most probable one."""
        return self.answers[0]


class QuestionAnsweringTask:
    """`wire.tasks.Task` whose output are logits (B, answers)."""

    def postprocess(self, output: NDArray[np.float32], temperatures: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits to probabilities."""
        return softmax(output / temperatures[:, None])

    def fill(self, answer: pb.Answer, output: NDArray[np.float32], manifest: Manifest, top_k: int) -> None:
        """The k most probable answers, at least one."""
        assert manifest.task.questions is not None
        texts, answers = manifest.task.questions.answers, answer.question_answering.answers
        for index in output.argsort(kind="stable")[::-1][: max(1, top_k)].tolist():
            answers.add(index=index, text=texts[index], probability=output[index])

    def read(self, answer: pb.Answer) -> QuestionAnswer:
        """The answers in a message; their texts as they may be shown."""
        if not answer.question_answering.answers:
            raise ProtocolError("The message answers no question; the server has another task than this model's.")
        return QuestionAnswer(
            tuple(PossibleAnswer(a.index, shown(a.text), a.probability) for a in answer.question_answering.answers)
        )

    def describe(self, value: QuestionAnswer) -> dict[str, Any]:
        """As JSON: `answers`, each with `index`, `text` and `probability`."""
        return {"answers": [asdict(one) for one in value.answers]}

    def text(self, value: QuestionAnswer) -> str:
        """The answers with their probabilities."""
        return ", ".join(f"{one.text} {one.probability:.0%}" for one in value.answers)

    def confidence(self, value: QuestionAnswer) -> float:
        """The best answer's probability."""
        return value.best.probability

    def utility(self, metric: float) -> float:
        """The share of answers that are right."""
        return min(1.0, metric)
