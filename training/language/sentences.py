"""Answers as people say them: a sentence for a question and its answer in a word."""

from __future__ import annotations

import re

from wire.questions import words_of

RULES = (
    (r"what colou?r is the (.+)", "The {of} is {answer}."),
    (r"what is the colou?r of the (.+)", "The {of} is {answer}."),
    (r"what is the (.+)", "The {of} is a {answer}."),
    (r"what (shape) .+", "The {of} is a {answer}."),
)
"""Of the words of questions that ask what something is."""
IS_THERE = re.compile(r"(?:is|does) .*?\b(?:an?|no) (.+?)(?: present| in the image)?")
"""Of those that ask whether there is something."""


def sentence(question: str, answer: str) -> str:
    """The answer in a sentence; as it is, where the question is of no kind that is known here."""
    words = words_of(question)
    asked = " ".join(words)
    if answer in ("yes", "no") and (found := IS_THERE.fullmatch(asked)):
        there = (answer == "yes") != ("no" in words or "not" in words)
        return f"{answer.capitalize()}, there is {'a' if there else 'no'} {found[1]}."
    for pattern, said in RULES:
        if found := re.fullmatch(pattern, asked):
            return said.format(of=found[1], answer=answer)
    return answer
