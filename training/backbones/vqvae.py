"""The autoencoder of the VQ-VAE (van den Oord et al. 2017), at RAQ's widths: its server half gives a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from training.backbones.base import Backbone

if TYPE_CHECKING:
    from training.recipe import NetworkRecipe

HIDDEN, RESIDUAL_UNITS, RESIDUAL_BLOCKS = 128, 64, 2
HALVINGS = 2
"""Of the picture's side: a latent of 8×8 for pictures of 32×32."""


class VqVae(Backbone):
    """Two halvings and residual blocks; then the same, backwards.

    3 ─ conv ↓2 ─ 64 ─ conv ↓2 ─ 128 ─ conv ─ blocks ─▶ cut (B, 128, S/4, S/4) ─ blocks ─ conv ↑2 ─ 64 ─ conv ↑2 ─▶ 3
    """

    features = 3
    gives = ("a picture",)
    dense = True

    def channels(self, network: NetworkRecipe) -> int:
        return HIDDEN

    def halves(
        self, network: NetworkRecipe, picture: int, weights: dict[str, Tensor] | None
    ) -> tuple[nn.Module, nn.Module]:
        edge = nn.Sequential(
            Affine(2, -1),
            nn.Conv2d(3, HIDDEN // 2, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(HIDDEN // 2, HIDDEN, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(HIDDEN, HIDDEN, 3, padding=1),
            *residual_blocks(),
        )
        server = nn.Sequential(
            *residual_blocks(),
            nn.ConvTranspose2d(HIDDEN, HIDDEN // 2, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(HIDDEN // 2, 3, 4, stride=2, padding=1),
            Affine(0.5, 0.5),
        )
        return edge, server

    def check(self, network: NetworkRecipe, picture: int) -> None:
        if network.cut != 1:
            raise ValueError("a VQ-VAE has one cut; set network.cut = 1")
        if network.weights != "random":
            raise ValueError('a VQ-VAE has no pretrained weights; set network.weights = "random"')


class Affine(nn.Module):
    """x ↦ gain · x + shift: pictures are in 0..1, and the network's own range is −1..1."""

    def __init__(self, gain: float, shift: float) -> None:
        super().__init__()
        self.gain, self.shift = gain, shift

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gain + self.shift


class ResidualBlock(nn.Module):
    """x + conv 1×1(ReLU(conv 3×3(ReLU(x))))."""

    def __init__(self) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(HIDDEN, RESIDUAL_UNITS, 3, padding=1, bias=False)
        self.expand = nn.Conv2d(RESIDUAL_UNITS, HIDDEN, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.expand(F.relu(self.reduce(F.relu(x))))
        return x + found


def residual_blocks() -> list[nn.Module]:
    """As both halves have them, the last ReLU included."""
    return [*(ResidualBlock() for _ in range(RESIDUAL_BLOCKS)), nn.ReLU(inplace=True)]
