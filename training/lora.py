"""Low-rank adapters of a pretrained transformer's attention (LoRA, Hu et al. 2022), which itself stays as it is."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.backbones.transformer import Attention


class LowRank(nn.Linear):
    """(W + U·D)·x + b, of which U and D are trained; U starts at zero, and so the layer as it was.

    D: (rank, given); U: (found, rank).
    """

    def __init__(self, pretrained: nn.Linear, rank: int) -> None:
        super().__init__(pretrained.in_features, pretrained.out_features)
        self.weight, self.bias = pretrained.weight, pretrained.bias
        self.down = nn.Parameter(torch.randn(rank, self.in_features) / self.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(self.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:  # W needs no gradient so
            return F.linear(x, self.weight, self.bias) + F.linear(F.linear(x, self.down), self.up)
        return F.linear(x, self.weight + self.up @ self.down, self.bias)


def adapt_attention(half: nn.Module, rank: int) -> None:
    """Freezes a half of a network, and gives every attention's query, key and value adapters, which are trained."""
    half.requires_grad_(False)
    for module in list(half.modules()):
        if isinstance(module, Attention):
            module.qkv = LowRank(module.qkv, rank)
