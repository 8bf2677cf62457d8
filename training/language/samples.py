"""Questions with their answers as tokens of a language model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from training.language.sentences import sentence
from training.questions import NO_ANSWER
from wire.language import ASKED, Vocabulary
from wire.manifest import Questions


@dataclass
class Samples:
    """N questions with answers: tokens int64 (N, T), those of the answer with its end marked in `answers` (N, T).

    pictures: the row (N,) of each one's picture.
    """

    tokens: Tensor
    answers: Tensor
    pictures: Tensor


class Texts:
    """What is asked and said, as tokens."""

    def __init__(self, known: Questions, vocabulary: Vocabulary) -> None:
        self.known, self.vocabulary = known, vocabulary
        self.encode = lru_cache(4096)(vocabulary.encode)

    def samples(self, questions: Tensor, labels: Tensor, *, varied: bool = False) -> Samples:
        """Of questions (B, Q, longest) and the numbers of their answers (B, Q), or `NO_ANSWER`.

        varied: half of the questions begin as sentences do, and a quarter ends without its mark.
        """
        pictures, rows = (labels != NO_ANSWER).nonzero(as_tuple=True)
        pairs = [
            (self._question(numbers), self.known.answers[label])
            for numbers, label in zip(questions[pictures, rows].tolist(), labels[pictures, rows].tolist(), strict=True)
        ]
        forms = torch.rand(len(pairs), 2).tolist() if varied else [[1.0, 1.0]] * len(pairs)
        asked = [self.encode(_written(text, *form) + ASKED) for (text, _), form in zip(pairs, forms, strict=True)]
        said = [[*self.encode(sentence(*pair)), self.vocabulary.end] for pair in pairs]
        longest = max(len(a) + len(b) for a, b in zip(asked, said, strict=True))
        tokens = torch.full((len(pairs), longest), self.vocabulary.end)
        answers = torch.zeros(len(pairs), longest, dtype=torch.bool)
        for n, (question, answer) in enumerate(zip(asked, said, strict=True)):
            both = len(question) + len(answer)
            tokens[n, :both] = torch.tensor([*question, *answer])
            answers[n, len(question) : both] = True
        device = labels.device
        return Samples(tokens.to(device), answers.to(device), pictures)

    def _question(self, numbers: list[int]) -> str:
        return " ".join(self.known.vocabulary[number - 1] for number in numbers if number) + "?"


def _written(question: str, begins: float, ends: float) -> str:
    """A question as one of many people writes it; begins and ends are drawn from 0..1."""
    text = question[:1].upper() + question[1:] if begins < 0.5 else question
    return text.removesuffix("?") if ends < 0.25 else text
