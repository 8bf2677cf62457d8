"""Pre-norm transformer blocks (Dosovitskiy et al. 2021), and a server half that is made of them.

The tokens are the positions of the cut, and there are no others: what crosses is all that the blocks are given.
Parameters have the names of timm's and DINOv2's vision transformers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.backbones.mobilenet_v2 import CHANNELS_AFTER, MobileNetV2Backbone

if TYPE_CHECKING:
    from training.recipe import NetworkRecipe

WIDTH, DEPTH, HEADS = 192, 4, 6
PERIODS = 10_000.0
"""Longest period of the positions' waves, in tokens."""


class Attention(nn.Module):
    """Every token (B, N, C) looks at all N."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        found: Tensor = self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return found


class Mlp(nn.Module):
    """Each token alone, through a layer of four times the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return found


class Block(nn.Module):
    """x + attention(LayerNorm(x)), then x + MLP(LayerNorm(x))."""

    def __init__(self, width: int, heads: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width, eps), Attention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width, eps), Mlp(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        found: Tensor = x + self.mlp(self.norm2(x))
        return found


class TokenMean(nn.Module):
    """Tokens (B, N, C) to their mean (B, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


def keep_tokens(half: nn.Module) -> None:
    """Has a server half give all of its tokens (B, N, C), in place of their mean."""
    for module in list(half.modules()):
        for name, child in module.named_children():
            if isinstance(child, TokenMean):
                setattr(module, name, nn.Identity())


class Pooled(nn.Module):
    """Tokens (B, N, C) to features (B, C): the mean of all, each after a LayerNorm."""

    def __init__(self, width: int, dropout: float, eps: float = 1e-6) -> None:
        super().__init__()
        self.norm, self.mean, self.dropout = nn.LayerNorm(width, eps), TokenMean(), nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.dropout(self.mean(self.norm(x)))
        return found


class Tokens(nn.Module):
    """A latent (B, C, H, W) to tokens (B, H·W, width), row by row, each with where it is."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(channels, width)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.embed(x.flatten(2).transpose(1, 2))
        return found + positions(x.shape[2], x.shape[3], found.shape[2]).to(found)


def positions(height: int, width: int, channels: int) -> Tensor:
    """Sines and cosines of each token's row and column, (height · width, channels): a quarter of the channels each."""
    periods = torch.exp(torch.arange(channels // 4) * (-math.log(PERIODS) / (channels // 4)))
    rows, columns = (torch.arange(count)[:, None] * periods for count in (height, width))
    rows, columns = rows[:, None].expand(-1, width, -1), columns[None].expand(height, -1, -1)
    return torch.cat([rows.sin(), rows.cos(), columns.sin(), columns.cos()], -1).flatten(0, 1)


class MobileNetV2Transformer(MobileNetV2Backbone):
    """MobileNetV2 up to the cut, which a weak edge can afford, and transformer blocks behind it.

    picture ─ features[:cut] ─▶ cut (B, C, H, W) ─ tokens with positions ─ 4 blocks ─ LayerNorm ─ mean ─▶ (B, 192)
    """

    features = WIDTH
    gives = ("features", "tokens")
    server_is_new = True

    def halves(
        self, network: NetworkRecipe, picture: int, weights: dict[str, Tensor] | None
    ) -> tuple[nn.Module, nn.Module]:
        edge, _ = super().halves(network, picture, weights)
        blocks = (Block(WIDTH, HEADS) for _ in range(DEPTH))
        tokens = Tokens(CHANNELS_AFTER[network.cut - 1], WIDTH)
        return edge, nn.Sequential(tokens, *blocks, Pooled(WIDTH, network.dropout))
