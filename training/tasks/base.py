"""The seam: what a task is to all the rest of training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from training.views import Batch


class Task(ABC):
    """From the backbone's features (B, F) to an output, what it loses and how good it is."""

    metric: str
    """The name of what `score` measures, for example "top1"."""
    output = "output"
    """The name of the decoder's output."""

    @abstractmethod
    def head(self, features: int, classes: int) -> nn.Module:
        """Features (B, F) to the output (B, …); classes: of the data set."""

    @abstractmethod
    def loss(self, output: Tensor, batch: Batch, smoothing: float) -> Tensor:
        """What training minimises, the mean (); smoothing: of the labels, where the task has such."""

    @abstractmethod
    def divergence(self, output: Tensor, target: Tensor, temperature: float) -> Tensor:
        """How far an output is from the output of a better one, the mean (): what distillation minimises."""

    @abstractmethod
    def nll(self, output: Tensor, batch: Batch) -> Tensor:
        """The negative log-likelihood of each answer (B,), in nats."""

    @abstractmethod
    def score(self, output: Tensor, batch: Batch) -> Tensor:
        """How good each answer is (B,), in 0..1; the metric is its mean."""

    def manifest(self, classes: Sequence[str]) -> dict[str, Any]:
        """What the manifest says of the task beside its name and metric."""
        return {}
