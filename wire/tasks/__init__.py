"""What an answer is: how a decoder's output becomes one, crosses the wire, and is shown.

A task is one object with the seven verbs below, and one line in `TASKS`. One that `remote_inference.proto` describes
fills its own message of the `answer` oneof; any other fills `other`, a Struct whose keys are its own.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wire.exceptions import ArtifactError
from wire.generated import remote_inference_pb2 as pb
from wire.manifest import QUESTION_ANSWERING, Manifest
from wire.tasks.classification import ClassificationTask
from wire.tasks.free_text import FreeTextTask
from wire.tasks.question_answering import QuestionAnsweringTask
from wire.tasks.reconstruction import ReconstructionTask

Output = NDArray[np.float32]
"""What a decoder gives: (B, …) for a batch, (…) for one picture."""


class Task(Protocol):
    """Both ends have the same: the server asks the first two, whoever reads an answer the others."""

    def postprocess(self, output: Output, temperatures: NDArray[np.float32]) -> Output:
        """A batch's output (B, …) as its answers are made from it; temperatures (B,) are those of its points."""
        ...

    def fill(self, answer: pb.Answer, output: Any, manifest: Manifest, top_k: int) -> None:
        """Puts one picture's output (…), or what was said of it, into the `answer` oneof.

        top_k: alternatives that are wanted, 0 means 1.
        """
        ...

    def read(self, answer: pb.Answer) -> Any:
        """What `fill` put there, as a value of the task's own type.

        Raises:
            ProtocolError: if it is another task's.
        """
        ...

    def describe(self, value: Any) -> dict[str, Any]:
        """The value as JSON."""
        ...

    def text(self, value: Any) -> str:
        """The value for people, in one line."""
        ...

    def confidence(self, value: Any) -> float:
        """How probably it is right, 0 … 1; of an answer that is never right or wrong, 0."""
        ...

    def utility(self, metric: float) -> float:
        """What answers of this mean metric, in the metric's own unit, are worth to a rate policy, 0 … 1."""
        ...


CLASSIFICATION, RECONSTRUCTION = "classification", "reconstruction"
TASKS: dict[str, Task] = {
    CLASSIFICATION: ClassificationTask(),
    RECONSTRUCTION: ReconstructionTask(),
    QUESTION_ANSWERING: QuestionAnsweringTask(),
}
"""By the name that a manifest says."""
FREE_TEXT: Task = FreeTextTask()
"""Question answering where a manifest says `free_text`."""


def task_of(manifest: Manifest) -> Task:
    """The task of a model.

    Raises:
        ArtifactError: if it is none that is known here.
    """
    if manifest.task.free_text is not None:
        return FREE_TEXT
    try:
        return TASKS[manifest.task.name]
    except KeyError:
        raise ArtifactError(
            f"The task of {manifest.name} is {manifest.task.name!r}, and this artoveq knows {', '.join(TASKS)}; "
            "add it to wire.tasks.TASKS, or install a newer artoveq."
        ) from None
