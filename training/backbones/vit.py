"""Vision transformers as DINOv2 has them (Oquab et al. 2023), cut between blocks; no class token crosses."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.backbones.base import Backbone, Normalise
from training.backbones.transformer import Block, TokenMean
from wire.base import VIT_SMALL, read_base
from wire.exceptions import ArtifactError, TrainingError
from wire.manifest import Base

if TYPE_CHECKING:
    from training.recipe import NetworkRecipe

NATIVE = 37
"""Patches a side that the published positions are of: 518 pixels."""
MOST_CUTS = 4
"""An edge is not given more blocks than this."""


class VisionTransformer(Backbone):
    """Patches of 14×14, blocks with LayerScale; tensors have the names that they have in DINOv2's files.

    picture ─ patches, positions ─ class token beside them ─ blocks[:cut] ─▶ cut (B, C, S/14, S/14), without it
    ─ blocks[cut:] ─ LayerNorm ─ mean ─▶ features (B, C)
    """

    patch = 14
    dense = True
    attends = True
    gives = ("features", "tokens")
    base: Base = VIT_SMALL

    def __init__(self, width: int = 384, heads: int = 6, depth: int = 12) -> None:
        self.features, self.heads, self.depth = width, heads, depth

    def channels(self, network: NetworkRecipe) -> int:
        return self.features

    def halves(
        self, network: NetworkRecipe, picture: int, weights: dict[str, Tensor] | None
    ) -> tuple[nn.Module, nn.Module]:
        depth = network.blocks or self.depth
        edge = Patches(self, range(network.cut), picture // self.patch)
        server = Rest(self, range(network.cut, depth), network.dropout)
        if weights is not None:
            edge.load_state_dict(edge.own(weights))
            server.load_state_dict({name: weights[name] for name in server.state_dict()})
        return nn.Sequential(Normalise(), edge), server

    def check(self, network: NetworkRecipe, picture: int) -> None:
        if network.weights == "imagenet":
            raise ValueError('its pretrained weights are DINOv2\'s; set network.weights = "dinov2"')
        depth = network.blocks or self.depth
        if depth > self.depth:
            raise ValueError(f"network.blocks = {depth} must be {self.depth} at most")
        if not 1 <= network.cut <= min(MOST_CUTS, depth - 1):
            raise ValueError(f"network.cut = {network.cut} must be from 1 to {min(MOST_CUTS, depth - 1)}")
        if picture % self.patch:
            below = picture // self.patch * self.patch
            raise ValueError(
                f"picture = {picture} must be a multiple of {self.patch}, which the patches are; take {below} or "
                f"{below + self.patch}"
            )

    def pretrained(self, file: str | None) -> dict[str, Tensor]:
        """Those of the base package, or of a file as DINOv2's hub publishes them."""
        if file is None:
            try:
                return {name: torch.from_numpy(value.copy()) for name, value in read_base(self.base).items()}
            except ArtifactError as error:
                raise TrainingError(str(error)) from error
        try:
            state: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
            state.pop("mask_token", None)
        except (OSError, pickle.UnpicklingError, AttributeError) as error:
            raise TrainingError(
                f"The weights {file} could not be read ({error}); name a file that holds DINOv2's, for example "
                "dinov2_vits14_pretrain.pth, with --weights, or leave it out."
            ) from error
        missing = {"pos_embed", "cls_token", f"blocks.{self.depth - 1}.attn.qkv.weight"} - state.keys()
        if missing or state["cls_token"].shape[-1] != self.features:
            raise TrainingError(f"The file {file} does not hold DINOv2's weights of this width and depth.")
        return state


class ScaledBlock(Block):
    """A block whose branches have a gain for each channel (LayerScale)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads)
        self.ls1, self.ls2 = Gain(width), Gain(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        found: Tensor = x + self.ls2(self.mlp(self.norm2(x)))
        return found


class Gain(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Patches(nn.Module):
    """Pictures (B, 3, S, S) to the stream behind the first blocks, (B, C, side, side)."""

    def __init__(self, of: VisionTransformer, blocks: range, side: int) -> None:
        super().__init__()
        width, self.side = of.features, side
        self.proj = nn.Conv2d(3, width, of.patch, stride=of.patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.randn(1, 1 + side * side, width) * 0.02)
        self.blocks = blocks_of(of, blocks)

    def forward(self, pictures: Tensor) -> Tensor:
        patches: Tensor = self.tokens(pictures)[:, 1:].transpose(1, 2).unflatten(2, (self.side, self.side))
        return patches

    def tokens(self, pictures: Tensor) -> Tensor:
        """With the class token, which does not cross: (B, 1 + side², C)."""
        patches = self.proj(pictures).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(patches.shape[0], -1, -1), patches], 1) + self.pos_embed
        for block in self.blocks.values():
            x = block(x)
        return x

    def own(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """What this half has of pretrained weights, positions resampled."""
        names = {"proj.weight": "patch_embed.proj.weight", "proj.bias": "patch_embed.proj.bias"}
        found = {name: weights[names.get(name, name)] for name in self.state_dict()}
        return {**found, "pos_embed": resampled(weights["pos_embed"], self.side)}


class Rest(nn.Module):
    """The stream (B, C, H, W), or what stands for it, through the other blocks to features (B, C)."""

    def __init__(self, of: VisionTransformer, blocks: range, dropout: float) -> None:
        super().__init__()
        self.blocks = blocks_of(of, blocks)
        self.norm = nn.LayerNorm(of.features, eps=1e-6)
        self.mean, self.dropout = TokenMean(), nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(2).transpose(1, 2)
        for block in self.blocks.values():
            x = block(x)
        found: Tensor = self.dropout(self.mean(self.norm(x)))
        return found


def blocks_of(of: VisionTransformer, numbers: range) -> nn.ModuleDict:
    """Blocks by their numbers, as their weights are named."""
    return nn.ModuleDict({str(number): ScaledBlock(of.features, of.heads) for number in numbers})


def resampled(positions: Tensor, side: int) -> Tensor:
    """Positions (1, 1 + N², C), the class token's first, for side × side patches: bicubic, as DINOv2 was exported."""
    of_class, patches = positions[:, :1], positions[:, 1:]
    native = round(patches.shape[1] ** 0.5)
    if side == native:
        return positions
    grid = patches.unflatten(1, (native, native)).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, size=(side, side), mode="bicubic", align_corners=False)
    return torch.cat([of_class, grid.flatten(2).transpose(1, 2)], 1)
