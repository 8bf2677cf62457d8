"""Aligned codebooks: the quantiser stands after a LayerNorm, between two gated projections (AlignedVQ, 2411.05961).

cut ─ LayerNorm ─ projection in ─ BatchNorm ─▶ VQ ─▶ projection out ─ server half
└──────────────── encoder f_e ──────────────────┘   └───────── decoder f_d ────────┘

A position is a token. Nothing goes round the quantiser: the server's stream starts from the projection out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.codebooks.progressive import ProgressiveCodebook


class AlignedCodebook(ProgressiveCodebook):
    """A progressive codebook with what aligns it with a transformer's features on either side."""

    @classmethod
    def projections(cls, width: int, channels: int) -> tuple[nn.Module, nn.Conv2d, nn.Conv2d]:
        return TokenNorm(), GatedProjection(width, channels, bias=False), GatedProjection(channels, width)


class TokenNorm(nn.Module):
    """LayerNorm over the channels of (B, C, H, W), each position alone. A projection follows, so it has no gain."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2], eps=1e-6).permute(0, 3, 1, 2)


class GatedProjection(nn.Conv2d):
    """W·x + V·x ⊙ σ(G·x), position by position; V starts at zero, and so the projection as the linear one that W is."""

    def __init__(self, given: int, found: int, *, bias: bool = True) -> None:
        super().__init__(given, found, 1, bias=bias)
        self.gated, self.gate = nn.Conv2d(given, found, 1), nn.Conv2d(given, found, 1)
        nn.init.zeros_(self.gated.weight)
        nn.init.zeros_(self.gated.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = super().forward(x) + self.gated(x) * torch.sigmoid(self.gate(x))
        return found
