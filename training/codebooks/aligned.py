"""Aligned codebooks: the quantiser stands after a LayerNorm, between two gated projections (AlignedVQ, 2411.05961).

cut ─ LayerNorm ─ projection in ─ BatchNorm ─▶ VQ ─▶ projection out ─ server half
└──────────────── encoder f_e ──────────────────┘   └───────── decoder f_d ────────┘

A position is a token. Nothing goes round the quantiser: the server's stream starts from the projection out. What a
LayerNorm takes away of a token, its scale, may be a sub-vector of its own: of one dimension, in d channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from training.codebooks.base import Sizes
from training.codebooks.progressive import ProgressiveCodebook

if TYPE_CHECKING:
    from training.recipe import CodebookRecipe

LARGEST_SCALE = 16
"""Codewords of a token's scale: 4 bits."""


class AlignedCodebook(ProgressiveCodebook):
    """A progressive codebook with what aligns it with a transformer's features on either side."""

    takes_scale = True

    def __init__(self, groups: int, recipe: CodebookRecipe) -> None:
        super().__init__(groups, recipe)
        self.scale = recipe.scale

    def points(self) -> list[Sizes]:
        return [self._allowed(point) for point in super().points()]

    def prefixes(self) -> list[Sizes]:
        """As without a scale, but for the planes that would refine it further than it may be."""
        return list(dict.fromkeys(self._allowed(point) for point in super().prefixes()))

    def _allowed(self, point: Sizes) -> Sizes:
        return (*point[:-1], min(point[-1], LARGEST_SCALE)) if self.scale else point

    @classmethod
    def around(cls, recipe: CodebookRecipe) -> str:
        return f"{recipe.family}, scale in {recipe.d}" if recipe.scale else recipe.family

    @classmethod
    def projections(cls, recipe: CodebookRecipe, width: int, channels: int) -> tuple[nn.Module, nn.Conv2d, nn.Conv2d]:
        if recipe.scale:
            return NormAndScale(), BesideScale(width, channels - recipe.d, recipe.d), Scaled(channels, width, recipe.d)
        return TokenNorm(), GatedProjection(width, channels, bias=False), GatedProjection(channels, width)


class TokenNorm(nn.Module):
    """LayerNorm over the channels of (B, C, H, W), each position alone. A projection follows, so it has no gain."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2], eps=1e-6).permute(0, 3, 1, 2)


class NormAndScale(TokenNorm):
    """As `TokenNorm`, with a further channel: the logarithm of the deviation that was divided by, (B, C + 1, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        scale = (x.var(1, keepdim=True, unbiased=False) + 1e-6).log() / 2
        return torch.cat([super().forward(x), scale], 1)


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


class BesideScale(GatedProjection):
    """Of what `NormAndScale` gives: the features projected, and behind them the scale as the first of d channels."""

    def __init__(self, given: int, found: int, d: int) -> None:
        super().__init__(given, found, bias=False)
        self.d = d

    def forward(self, x: Tensor) -> Tensor:
        scale = nn.functional.pad(x[:, -1:], (0, 0, 0, 0, 0, self.d - 1))
        return torch.cat([super().forward(x[:, :-1]), scale], 1)


class Scaled(GatedProjection):
    """A projection of all channels, times exp(gain · scale): the gain starts at zero."""

    def __init__(self, given: int, found: int, d: int) -> None:
        super().__init__(given, found)
        self.d, self.gain = d, nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * torch.exp(self.gain * x[:, -self.d, None])
