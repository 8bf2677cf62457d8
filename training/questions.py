"""Questions about pictures, in easy-VQA's form: DIR/answers.txt, DIR/train/questions.json, DIR/train/images/ID.png.

questions.json is a list of [question, answer, ID of the picture]; beside train there is test.
"""

from __future__ import annotations

import importlib.util
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from wire.exceptions import DataError
from wire.manifest import Questions
from wire.questions import words_of

PACKAGE = "easy_vqa"
NO_ANSWER = -1
"""In place of an answer, behind a picture's last question."""


@dataclass(frozen=True)
class QuestionSet:
    """Pictures, and what is asked about each: `asked` int32 (N, Q, longest), `answers` int64 (N, Q) or `NO_ANSWER`."""

    known: Questions
    pictures: list[Path]
    asked: NDArray[np.int32]
    answers: NDArray[np.int64]


def packaged() -> Path:
    """Where the package easy-vqa has its pictures.

    Raises:
        DataError: if it is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise DataError(
            "easy-VQA is not installed; pip install 'artoveq[questions]', or name a folder of that form: easyvqa:DIR."
        )
    return Path(found.origin).parent / "data"


def read_questions(folder: Path, split: str) -> QuestionSet:
    """The "train" or "test" questions of a folder; words and answers are those of the training questions.

    Raises:
        DataError: if the folder has not that form, or a test question has a word or an answer that is not known.
    """
    known = _known(folder)
    rows: dict[Any, list[tuple[list[int], int]]] = defaultdict(list)
    answers = {answer: number for number, answer in enumerate(known.answers)}
    for question, answer, picture in _listed(folder, split):
        words = words_of(question)
        if not words or len(words) > known.longest or not {*words} <= known.numbers.keys() or answer not in answers:
            raise DataError(
                f"The {split} question {question!r} of {folder}, or its answer {answer!r}, is not made of what the "
                "training questions have; remove it."
            )
        rows[picture].append(([known.numbers[word] for word in words], answers[answer]))
    most = max(map(len, rows.values()))
    asked = np.zeros((len(rows), most, known.longest), np.int32)
    found = np.full((len(rows), most), NO_ANSWER, np.int64)
    for n, of_picture in enumerate(rows.values()):
        for q, (numbers, number) in enumerate(of_picture):
            asked[n, q, : len(numbers)] = numbers
            found[n, q] = number
    return QuestionSet(known, [folder / split / "images" / f"{name}.png" for name in rows], asked, found)


def _known(folder: Path) -> Questions:
    texts = [words_of(question) for question, _, _ in _listed(folder, "train")]
    try:
        answers = (folder / "answers.txt").read_text().split("\n")
        return Questions(
            vocabulary=tuple(sorted({word for words in texts for word in words})),
            longest=max(map(len, texts)),
            answers=tuple(answer.strip() for answer in answers if answer.strip()),
        )
    except OSError as error:
        raise DataError(
            f"{error.filename} cannot be read ({error.strerror}); it lists the answers, one a line."
        ) from error
    except ValidationError as error:
        raise DataError(f"The questions of {folder} cannot be used: {error.errors()[0]['msg']}.") from error


def _listed(folder: Path, split: str) -> list[tuple[str, str, Any]]:
    path = folder / split / "questions.json"
    try:
        found = json.loads(path.read_text())
        listed = [(str(question), str(answer), picture) for question, answer, picture in found]
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check the path after 'easyvqa'.") from error
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} is no list of [question, answer, picture]; correct it.") from error
    if not listed:
        raise DataError(f"{path} has no questions; add some.")
    return listed
