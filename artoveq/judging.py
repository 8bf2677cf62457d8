"""How good an answer that a server gave is, whatever the task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from training.data import Split
from training.language.sentences import sentence
from training.tasks import TASKS
from wire.exceptions import DataError
from wire.manifest import Manifest
from wire.pictures import Picture

Judge = Callable[[Any, Picture, str, int], float]
"""Of a value that `wire.tasks` read: a picture at the encoder's size, the question, if any, and the label."""


def judge(manifest: Manifest, split: Split) -> Judge:
    """As the task scores it; of free text 1 if it says word for word what training answers to such a question, else 0.

    Raises:
        DataError: if the model answers in free text, and nothing is asked about these pictures.
    """
    if manifest.task.free_text is None:
        score = TASKS[manifest.task.name].score_of_answer
        return lambda value, picture, question, label: score(value, picture, label)
    if split.questions is None:
        raise DataError(
            f"{manifest.name} answers questions, and none come with these pictures; use easyvqa, or questions:… before "
            "the data set."
        )
    answers = split.questions.answers
    return lambda value, picture, question, label: float(value.best.text == sentence(question, answers[label]))
