"""Questions about a picture: text as people write it, as the words that a model reads."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from wire.exceptions import QuestionError
from wire.manifest import Manifest
from wire.shown import HIDDEN, shown

MOST_CHARACTERS = 500
"""Of a question."""
NAMED_WORDS = 5
"""Of those that a model does not know, in an error."""

Question = NDArray[np.int32]
"""The numbers of its words in the manifest's vocabulary, 0 behind them, shape (longest,); of several, (B, longest).
Where a model reads any text, the numbers of its characters (Unicode), and longest is `MOST_CHARACTERS`."""
NO_QUESTION: Question = np.zeros(0, np.int32)
"""What a model reads that answers no questions."""


def question_of(manifest: Manifest, text: str) -> Question:
    """What the model reads of a question; text: empty where none is asked.

    Raises:
        QuestionError: if the model cannot answer it, or answers no questions, or none is asked and it wants one.
    """
    questions = manifest.task.questions
    if not manifest.task.asks:
        if text:
            raise QuestionError(f"{manifest.name} answers no questions; leave the question out, or name another model.")
        return NO_QUESTION
    check_question(text)
    if questions is None:
        return _filled(map(ord, text), MOST_CHARACTERS)
    words = words_of(text)
    unknown = list(dict.fromkeys(word for word in words if word not in questions.numbers))
    if unknown:
        named = ", ".join(repr(shown(word, 30)) for word in unknown[:NAMED_WORDS])
        more = f" and {len(unknown) - NAMED_WORDS} more" if len(unknown) > NAMED_WORDS else ""
        raise QuestionError(f"{manifest.name} does not know {named}{more}; ask in the words of its manifest.")
    if len(words) > questions.longest:
        raise QuestionError(
            f"The question has {len(words)} words, and {manifest.name} reads {questions.longest}; ask a shorter one."
        )
    return _filled((questions.numbers[word] for word in words), questions.longest)


def text_of(question: Question) -> str:
    """The text of a question (MOST_CHARACTERS,) to a model that reads any."""
    return "".join(chr(number) for number in question.tolist() if number)


def _filled(numbers: Iterable[int], longest: int) -> Question:
    found, given = np.zeros(longest, np.int32), list(numbers)
    found[: len(given)] = given
    return found


def check_question(text: str) -> None:
    """What holds for every model.

    Raises:
        QuestionError: if it is empty, too long, has characters that are no sign, or no word.
    """
    if not text.strip():
        raise QuestionError("The question is empty; ask something about the picture.")
    if len(text) > MOST_CHARACTERS:
        raise QuestionError(
            f"The question has {len(text):,} characters, more than {MOST_CHARACTERS}; ask a shorter one."
        )
    if any(unicodedata.category(character) in HIDDEN for character in text):
        raise QuestionError("The question has characters that cannot be seen; ask in plain text.")
    if not words_of(text):
        raise QuestionError("The question has no word in it; ask something about the picture.")


def words_of(text: str) -> list[str]:
    """In lower case, without what stands between and around them."""
    return re.findall(r"\w+(?:['-]\w+)*", unicodedata.normalize("NFKC", text).lower())
