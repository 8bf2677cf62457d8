"""Reconstruction: the output is the picture, as a VQ-VAE gives it (van den Oord et al. 2017)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from training.quality import psnr, ssim
from training.tasks.base import Task

if TYPE_CHECKING:
    from training.views import Batch
    from wire.manifest import Questions
    from wire.pictures import Picture
    from wire.tasks.reconstruction import Reconstruction as Answer

VARIANCE = 0.06
"""Of the samples of natural pictures in 0..1: the loss is a share of it, and so of the scale of the quantiser's."""


class Reconstruction(Task):
    """Pictures (B, 3, S, S), in 0..1 where they are exact."""

    metric = "psnr"
    takes = "a picture"
    relit = False

    def head(self, features: int, classes: int, questions: Questions | None) -> nn.Module:
        return nn.Identity()

    def loss(self, output: Tensor, batch: Batch, smoothing: float) -> Tensor:
        """Mean squared error, as a share of the variance."""
        return (output - batch.pictures).square().mean() / VARIANCE

    def divergence(self, output: Tensor, target: Tensor, temperature: float) -> Tensor:
        """As `loss`: of all pictures that give this target, the nearest is the best that smaller codebooks can."""
        return (output - target).square().mean() / VARIANCE

    def nll(self, output: Tensor, batch: Batch) -> Tensor:
        """Of samples that are normal around the output, with a variance of 1 % of the pictures'."""
        variance = VARIANCE / 100
        errors = (output - batch.pictures).square().flatten(1)
        return errors.sum(1) / (2 * variance) + errors.shape[1] * math.log(2 * math.pi * variance) / 2

    def score(self, output: Tensor, batch: Batch) -> Tensor:
        """PSNR of each picture, clipped, in dB."""
        return psnr(output, batch.pictures)

    def figures(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"psnr": psnr(output, batch.pictures), "ssim": ssim(output, batch.pictures)}

    def score_of_answer(self, answer: Answer, picture: Picture, label: int) -> float:
        """PSNR of the 8-bit picture that crossed the wire."""
        found, original = (
            torch.from_numpy(np.ascontiguousarray(one)).permute(2, 0, 1)[None] / 255
            for one in (answer.picture, picture)
        )
        return float(psnr(found, original))

    def shown(self, metric: float) -> str:
        return f"{metric:.2f} dB"
