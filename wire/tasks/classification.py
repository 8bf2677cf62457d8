"""Classification: the classes that a picture may show, each with its probability."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from wire.exceptions import ProtocolError
from wire.generated import remote_inference_pb2 as pb
from wire.manifest import Manifest
from wire.shown import shown


@dataclass(frozen=True)
class ClassProbability:
    """A class, and how probably the picture shows it."""

    index: int
    name: str
    probability: float


@dataclass(frozen=True)
class Classification:
    """The most probable classes, best first; at least one."""

    classes: tuple[ClassProbability, ...]

    @property
    def best(self) -> ClassProbability:
        """The most probable one."""
        return self.classes[0]


class ClassificationTask:
    """`wire.tasks.Task` whose output are logits (B, classes)."""

    def postprocess(self, output: NDArray[np.float32], temperatures: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits to probabilities."""
        return softmax(output / temperatures[:, None])

    def fill(self, answer: pb.Answer, output: NDArray[np.float32], manifest: Manifest, top_k: int) -> None:
        """The k most probable classes, at least one."""
        best = (int(output.argmax()),) if top_k <= 1 else output.argsort()[::-1][:top_k].tolist()
        names, classes = manifest.task.classes, answer.classification.classes
        for index in best:
            classes.add(index=index, name=names[index], probability=output[index])

    def read(self, answer: pb.Answer) -> Classification:
        """The classes in an answer; their names as they may be shown."""
        if not answer.classification.classes:
            raise ProtocolError("The answer names no class; the server has another task than this model's.")
        return Classification(
            tuple(ClassProbability(c.index, shown(c.name), c.probability) for c in answer.classification.classes)
        )

    def describe(self, value: Classification) -> dict[str, Any]:
        """As JSON: `classes`, each with `index`, `name` and `probability`."""
        return {"classes": [asdict(one) for one in value.classes]}

    def text(self, value: Classification) -> str:
        """The classes with their probabilities."""
        return ", ".join(f"{one.name} {one.probability:.0%}" for one in value.classes)

    def confidence(self, value: Classification) -> float:
        """The best class's probability."""
        return value.best.probability

    def utility(self, metric: float) -> float:
        """The share of answers that are right."""
        return min(1.0, metric)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Along the last axis."""
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return cast(NDArray[np.float32], shifted / shifted.sum(-1, keepdims=True))
