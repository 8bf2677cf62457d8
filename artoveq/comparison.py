"""Two models on the same pictures: what each answers for as many bytes, and whether the difference is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from artoveq.evaluation import batch_of, check_classes, decoded, encoded_at, fitted, measured, parts
from edge_client import Encoder
from inference_server.decoder import OnnxDecoder
from training.data import Split
from training.tasks import TASKS
from wire.artifact import Artifact
from wire.exceptions import UsageError
from wire.manifest import Manifest

ROWS = 12
"""Budgets that are compared, evenly drawn from the first model's points."""


def compare(first: Artifact, second: Artifact, split: Split) -> list[dict[str, Any]]:
    """For some budgets of bytes, cheapest first: `bytes`, the best `points` of both within it, their metrics by name
    of the model, `better` (pictures that the first, and that the second, answers better), and `p`: how probable so
    uneven a count is where both are as good.

    Bytes are means of what crosses: entropy-coded, where the model has tables.

    Raises:
        UsageError: if the models have different tasks, or no budget in common.
        DataError: if the data set has other classes than one of them.
    """
    one, other = first.manifest, second.manifest
    if one.task.name != other.task.name:
        raise UsageError(
            f"{one.name} answers by {one.task.name} and {other.name} by {other.task.name}; name two models of one task."
        )
    pairs = budgets(one, other)
    if not pairs:
        raise UsageError(f"{other.name} has no point as cheap as {one.name}'s dearest; name them the other way round.")
    found = [scores_at(first, split, [p for _, p, _ in pairs]), scores_at(second, split, [p for _, _, p in pairs])]
    rows = []
    for spent, point, opposed in pairs:
        ours, theirs = found[0][point], found[1][opposed]
        better = int((ours > theirs).sum()), int((theirs > ours).sum())
        rows.append(
            {
                "bytes": round(spent, 1),
                "points": [point, opposed],
                one.task.metric: [round(float(ours.mean()), 6), round(float(theirs.mean()), 6)],
                "better": list(better),
                "p": sign_test(*better),
            }
        )
    return rows


def budgets(first: Manifest, second: Manifest) -> list[tuple[float, int, int]]:
    """Mean bytes of points of the first model, each with that point and the dearest of the second within them."""
    theirs = sorted((second.point(point).mean_bytes, point) for point in measured(second))
    pairs = []
    for spent, point in sorted((first.point(point).mean_bytes, point) for point in measured(first)):
        within = [opposed for cost, opposed in theirs if cost <= spent]
        if within:
            pairs.append((spent, point, within[-1]))
    chosen = np.linspace(0, len(pairs) - 1, min(ROWS, len(pairs))).round().astype(int)
    return [pairs[i] for i in chosen]


def scores_at(artifact: Artifact, split: Split, points: Sequence[int]) -> dict[int, NDArray[np.float32]]:
    """Per point, how good each answer is (A,), as the task scores it."""
    check_classes(artifact, split)
    encoder, decoder, task = Encoder(artifact), OnnxDecoder(artifact), TASKS[artifact.manifest.task.name]
    wanted = sorted(set(points))
    found: dict[int, list[NDArray[np.float32]]] = {point: [] for point in wanted}
    for part, pictures in zip(parts(split), fitted(encoder, split), strict=True):
        batch = batch_of(pictures, part.answers)
        for point, indices in encoded_at(encoder, pictures, wanted):
            output = torch.from_numpy(decoded(decoder, encoder.codec, indices, point, part.asked))
            found[point].append(task.score(output, batch).float().numpy())
    return {point: np.concatenate(parts) for point, parts in found.items()}


def sign_test(wins: int, losses: int) -> float:
    """The probability of a count at least so uneven, if each is as likely: two-sided and exact (of right and wrong
    answers, McNemar's)."""
    count, ways, tail = wins + losses, 1, 0
    for k in range(min(wins, losses) + 1):
        tail += ways
        ways = ways * (count - k) // (k + 1)
    return min(1.0, 2 * tail / (1 << count))
