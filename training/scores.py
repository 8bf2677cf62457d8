"""How good probabilities are: accuracy, likelihood, calibration; and how much of a codebook is used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

CALIBRATION_BINS = 15
PRIOR = 0.3


class Scores(BaseModel):
    """Figures over a set of pictures; fractions, not percent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    top1: float
    top5: float
    nll: float
    """Mean negative log-likelihood of the true class, in nats."""
    ece: float
    """Expected calibration error over 15 bins of equal width (Guo et al. 2017)."""


def scores(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> Scores:
    """Scores of probabilities (N, classes) for labels (N,)."""
    own = probabilities[np.arange(len(labels)), labels][:, None]
    # A class is ahead of the true one where it is likelier, or as likely and named first, as argmax has it.
    first = np.arange(probabilities.shape[1]) < labels[:, None]
    ahead = ((probabilities > own) | ((probabilities == own) & first)).sum(1)
    confidence, right = probabilities.max(1), ahead == 0
    said, kept, count = reliability(confidence, right)
    return Scores(
        top1=round(float(right.mean()), 6),
        top5=round(float((ahead < 5).mean()), 6),
        nll=round(float(-np.log(np.maximum(own.astype(np.float64), 1e-12)).mean()), 6),
        ece=round(float((np.abs(kept - said) * count).sum() / len(labels)), 6),
    )


def reliability(
    confidence: NDArray[np.floating], right: NDArray[np.bool_]
) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.integer]]:
    """Answers in bins of equal width of confidence, the empty ones left out.

    Returns their mean confidence, the share that is right, and how many they are.
    """
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    count = np.bincount(bins, minlength=CALIBRATION_BINS)
    there = count > 0
    said, kept = (np.bincount(bins, values, CALIBRATION_BINS)[there] / count[there] for values in (confidence, right))
    return said, kept, count[there]


def fit_temperature(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """The T for which softmax(log p / T) is the likeliest (Guo et al. 2017, section 4.2).

    With a prior on log T, normal with deviation PRIOR, so that few pictures say little.
    """
    logits = np.log(np.maximum(probabilities.astype(np.float64), 1e-12))
    logits -= logits[np.arange(len(labels)), labels][:, None]  # now −log p of the true class is logsumexp

    def cost(log_t: float) -> float:
        return float(np.logaddexp.reduce(logits * np.exp(-log_t), axis=1).sum() + (log_t / PRIOR) ** 2 / 2)

    candidates = np.linspace(-2, 2, 401)
    return round(float(np.exp(candidates[np.argmin([cost(c) for c in candidates])])), 3)


def perplexity(indices: NDArray[np.integer]) -> float:
    """exp of the entropy of codeword usage, the mean over channel groups.

    indices: (N, G).
    """
    used = []
    for group in indices.T:
        share = np.bincount(group) / len(group)
        share = share[share > 0]
        used.append(np.exp(-(share * np.log(share)).sum()))
    return round(float(np.mean(used)), 3)
