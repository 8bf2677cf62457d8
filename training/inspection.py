"""What is wrong with pictures of one's own, before time is spent on them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from training.data import Split

FEW_A_CLASS, FEW_TO_TEST = 50, 100
"""Training pictures of a class, with fewer of which little is learnt; test pictures, with fewer of which a figure is
off by four points or more, often."""
NAMED = 3
"""Duplicates that are named."""


def findings(train: Split, test: Split) -> list[str]:
    """A sentence for each: too few pictures, and pictures that are both among the training and the test pictures."""
    found = []
    counts = np.bincount(train.answers, minlength=len(train.classes))
    few = [f"{train.classes[i]} has {counts[i]}" for i in counts.argsort(kind="stable") if counts[i] < FEW_A_CLASS]
    if few:
        more = f", and {len(few) - NAMED} more classes have few" if len(few) > NAMED else ""
        found.append(
            f"Of the training pictures {', '.join(few[:NAMED])}{more}; bring {FEW_A_CLASS} of each class or more, or "
            "expect little."
        )
    if len(test) < FEW_TO_TEST:
        found.append(
            f"There are {len(test)} test pictures; figures from so few are off by several points, bring {FEW_TO_TEST} "
            "or more."
        )
    trained = _digests(train)
    both = [(i, trained[digest]) for digest, i in _digests(test).items() if digest in trained]
    if both:
        pairs = [f"{_name(test, i)} is {_name(train, j)}" for i, j in both[:NAMED]]
        found.append(
            f"{len(both)} of the test pictures are training pictures, too ({'; '.join(pairs)}); take them out of one "
            "of the two, or figures are too good."
        )
    return found


def _digests(split: Split) -> Mapping[bytes, int]:
    """Each picture's place by what is in its file."""
    contents = (one.read_bytes() if isinstance(one, Path) else one.tobytes() for one in split.sources)
    return {hashlib.sha256(content).digest(): i for i, content in enumerate(contents)}


def _name(split: Split, i: int) -> str:
    source = split.sources[i]
    return f"{source.parent.name}/{source.name}" if isinstance(source, Path) else f"number {i}"
