"""A task that is not classification: how bright the picture is, 0 … 1. No label is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch.nn.functional as F
from torch import Tensor, nn

from training.tasks import Task

if TYPE_CHECKING:
    from training.views import Batch
    from wire.generated import remote_inference_pb2 as pb
    from wire.manifest import Questions
    from wire.pictures import Picture


class Brightness(Task):
    """In training: a head, a loss, and a metric in 0 … 1."""

    metric = "closeness"

    def head(self, features: int, classes: int, questions: Questions | None) -> nn.Module:
        return nn.Linear(features, 1)

    def loss(self, output: Tensor, batch: Batch, smoothing: float) -> Tensor:
        return self.nll(output, batch).mean()

    def divergence(self, output: Tensor, target: Tensor, temperature: float) -> Tensor:
        return F.mse_loss(output, target)

    def nll(self, output: Tensor, batch: Batch) -> Tensor:
        return (output[:, 0] - batch.pictures.mean((1, 2, 3))).square()

    def score(self, output: Tensor, batch: Batch) -> Tensor:
        return 1 - self.nll(output, batch).sqrt().clamp(max=1)

    def score_of_answer(self, answer: float, picture: Picture, label: int) -> float:
        return 1 - min(1, abs(answer - float(picture.mean()) / 255))


class BrightnessOnTheWire:
    """`wire.tasks.Task`: the answer is a Struct with one key."""

    def postprocess(self, output: Any, temperatures: Any) -> Any:
        return output.clip(0, 1)

    def fill(self, answer: pb.Answer, output: Any, manifest: Any, top_k: int) -> None:
        answer.other.update({"brightness": float(output[0])})

    def read(self, answer: pb.Answer) -> float:
        return float(answer.other["brightness"])  # type: ignore[arg-type]

    def describe(self, value: float) -> dict[str, Any]:
        return {"brightness": value}

    def text(self, value: float) -> str:
        return f"brightness {value:.2f}"

    def confidence(self, value: float) -> float:
        return 1.0

    def utility(self, metric: float) -> float:
        return metric
