"""Questions about labelled pictures, from templates: what is this, is this a …, is this a … or an …?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from wire.exceptions import DataError
from wire.manifest import Questions
from wire.questions import words_of

YES, NO = "yes", "no"
WHAT, IS, WHICH = "What is this?", "Is this {}?", "Is this {} or {}?"


def templated(
    classes: Sequence[str], labels: NDArray[np.int64], seed: int = 0
) -> tuple[Questions, NDArray[np.int32], NDArray[np.int64]]:
    """What is known, and four questions about each picture with their answers: (N, 4, longest) and (N, 4).

    What it is; whether it is what it is; whether it is something else; and which of these two. The other class, and
    which of the two comes first, are drawn from the seed.

    Raises:
        DataError: if the classes' names cannot be asked about.
    """
    names = [name.replace("_", " ") for name in classes]
    spoken = ["an " + name if name[:1].lower() in "aeiou" else "a " + name for name in names]
    for name in names:
        if not words_of(name) or name.lower() in (YES, NO):
            raise DataError(
                f"Nothing can be asked about the class {name!r}; give its folder a name of words, other than {YES} and "
                f"{NO}."
            )
    longest = max(len(words_of(WHICH.format(one, one))) for one in spoken)
    every = [WHAT, *(WHICH.format(one, one) for one in spoken)]
    try:
        known = Questions(
            vocabulary=tuple(sorted({word for text in every for word in words_of(text)})),
            longest=longest,
            answers=(YES, NO, *names),
        )
    except ValidationError as error:
        raise DataError(f"Nothing can be asked about these classes: {error.errors()[0]['msg']}.") from error
    random = np.random.default_rng(seed)
    others = (labels + random.integers(1, len(classes), len(labels))) % len(classes)
    swapped = random.random(len(labels)) < 0.5
    asked = np.zeros((len(labels), 4, longest), np.int32)
    for n, (label, other, swap) in enumerate(zip(labels, others, swapped, strict=True)):
        mine, theirs = spoken[label], spoken[other]
        pair = (theirs, mine) if swap else (mine, theirs)
        texts = (WHAT, IS.format(mine), IS.format(theirs), WHICH.format(*pair))
        for q, text in enumerate(texts):
            words = [known.numbers[word] for word in words_of(text)]
            asked[n, q, : len(words)] = words
    first = 2  # behind yes and no
    answers = np.stack([labels + first, np.zeros_like(labels), np.ones_like(labels), labels + first], 1)
    return known, asked, answers
