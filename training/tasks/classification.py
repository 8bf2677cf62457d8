"""Classification: the output is a logit for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch.nn.functional as F
from torch import Tensor, nn

from training.tasks.base import Task

if TYPE_CHECKING:
    from training.views import Batch
    from wire.manifest import Questions
    from wire.pictures import Picture
    from wire.tasks.classification import Classification as Answer


class Classification(Task):
    metric = "top1"
    output = "logits"
    has_classes = True

    def head(self, features: int, classes: int, questions: Questions | None) -> nn.Module:
        return nn.Linear(features, classes)

    def loss(self, output: Tensor, batch: Batch, smoothing: float) -> Tensor:
        """Cross-entropy with label smoothing (Szegedy et al. 2016)."""
        return F.cross_entropy(output, batch.labels, label_smoothing=smoothing)

    def divergence(self, output: Tensor, target: Tensor, temperature: float) -> Tensor:
        """Kullback–Leibler divergence from softened targets, scaled by temperature² (Hinton et al. 2015)."""
        log_p = F.log_softmax(output / temperature, 1)
        log_q = F.log_softmax(target / temperature, 1)
        return F.kl_div(log_p, log_q, reduction="batchmean", log_target=True) * temperature**2

    def nll(self, output: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(output, batch.labels, reduction="none")

    def score(self, output: Tensor, batch: Batch) -> Tensor:
        return (output.argmax(1) == batch.labels).float()

    def score_of_answer(self, answer: Answer, picture: Picture, label: int) -> float:
        return float(answer.best.index == label)

    def manifest(self, classes: Sequence[str], questions: Questions | None) -> dict[str, Any]:
        return {"classes": list(classes)}
