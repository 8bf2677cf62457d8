"""Tasks: what an answer is, what is minimised for it, and how good it is.

A new task is one file with a `Task`, and one line here.
"""

from __future__ import annotations

from training.tasks.base import Task
from training.tasks.classification import Classification
from training.tasks.question_answering import QuestionAnswering
from training.tasks.reconstruction import Reconstruction

__all__ = ["TASKS", "Task"]

TASKS: dict[str, Task] = {
    "classification": Classification(),
    "question answering": QuestionAnswering(),
    "reconstruction": Reconstruction(),
}
