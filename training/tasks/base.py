"""The seam: what a task is to all the rest of training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from training.views import Batch
    from wire.manifest import Questions
    from wire.pictures import Picture


class Task(ABC):
    """From the backbone's features (B, F) to an output, what it loses and how good it is."""

    metric: str
    """The name of what `score` measures, for example "top1"."""
    output = "output"
    """The name of the decoder's output."""
    takes = "features"
    """What the head is given, of what a backbone `gives`."""
    has_classes = False
    """Whether labels are classes, which a teacher can be fitted to."""
    asks = False
    """Whether a question comes with the picture, and the label is the answer to it."""
    relit = True
    """Whether training pictures may be made lighter or darker: answers to them stay the same."""

    @abstractmethod
    def head(self, features: int, classes: int, questions: Questions | None) -> nn.Module:
        """Features (B, F) to the output (B, …); classes and questions: of the data set."""

    @abstractmethod
    def loss(self, output: Tensor, batch: Batch, smoothing: float) -> Tensor:
        """What training minimises, the mean (); smoothing: of the labels, where the task has such."""

    @abstractmethod
    def divergence(self, output: Tensor, target: Tensor, temperature: float) -> Tensor:
        """How far an output is from the output of a better one, the mean (): what distillation minimises."""

    @abstractmethod
    def nll(self, output: Tensor, batch: Batch) -> Tensor:
        """The negative log-likelihood of each answer (B,), in nats; of as many as there are, where questions are."""

    @abstractmethod
    def score(self, output: Tensor, batch: Batch) -> Tensor:
        """How good each answer is (B,), 0 or more; the metric is its mean. As many as there are, as of `nll`."""

    @abstractmethod
    def score_of_answer(self, answer: Any, picture: Picture, label: int) -> float:
        """As `score`, of what `wire.tasks` read of a message; picture: at the encoder's size."""

    def figures(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        """All that is measured of each answer (B,), by name; the metric among it."""
        return {self.metric: self.score(output, batch)}

    def shown(self, metric: float) -> str:
        """A mean metric with its unit."""
        return f"{metric:.1%}"

    def manifest(self, classes: Sequence[str], questions: Questions | None) -> dict[str, Any]:
        """What the manifest says of the task beside its name and metric."""
        return {}
