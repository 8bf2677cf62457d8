"""Free text: an answer to a question about the picture in a language model's own words, told in parts as they are said.

The message is that of question answering, with one answer whose text is all that has been said so far.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wire.generated import remote_inference_pb2 as pb
from wire.manifest import Manifest
from wire.tasks.question_answering import QuestionAnsweringTask


@dataclass(frozen=True, slots=True)
class Said:
    """What a language model has said so far.

    probability: that it says just this: the product over its tokens, and, once it is whole, its end.
    """

    text: str
    probability: float


class FreeTextTask(QuestionAnsweringTask):
    """`wire.tasks.Task` whose decoder gives what the language model sees (B, N, width), and whose output is `Said`."""

    def postprocess(self, output: NDArray[np.float32], temperatures: NDArray[np.float32]) -> NDArray[np.float32]:
        """As it is: nothing of it is a probability."""
        return output

    def fill(self, answer: pb.Answer, output: Said, manifest: Manifest, top_k: int) -> None:  # type: ignore[override]
        """The one answer that there is, however many are wanted."""
        answer.question_answering.answers.add(text=output.text, probability=output.probability)
