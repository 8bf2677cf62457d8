"""Codebook families: how sub-vectors become indices, and indices vectors again.

A family has four verbs: `start` (place the codewords, stage 2), `quantise` (sub-vectors to vectors at
every level, for training), `encode` (sub-vectors to indices) and `table` (all codewords of all
levels, so that turning indices into vectors is one gather: `lookup`).

Sub-vectors x have shape (N, G, d): N positions, G channel groups, each with a codebook of its own.
Level-l indices are integers below 2^l whose first bit-plane is the most significant bit.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from training.lbg import nested_lbg, two_means
from training.recipe import CodebookRecipe


def to_sub_vectors(latent: Tensor, d: int) -> Tensor:
    """(B, C, H, W) to (B·H·W, C/d, d): the order of the wire is row, column, channel group."""
    b, c, h, w = latent.shape
    return latent.permute(0, 2, 3, 1).reshape(b * h * w, c // d, d)


def from_sub_vectors(vectors: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Inverse of `to_sub_vectors`, for a latent of shape (C, H, W)."""
    c, h, w = shape
    return vectors.reshape(-1, h, w, c).permute(0, 3, 1, 2)


class Codebook(Protocol):
    """The four verbs, and what the artifact has to say about a family."""

    family: str
    levels: tuple[int, ...]
    prefix_consistent: bool
    """Whether the first l planes of a higher level are the encoding at level l."""

    def start(self, x: Tensor) -> None:
        """Places the codewords on sub-vectors x (N, G, d)."""

    def quantise(self, x: Tensor) -> dict[int, Tensor]:
        """x (N, G, d) to its codewords at every level; gradients reach the codewords alone."""

    def encode(self, x: Tensor, level: Tensor) -> Tensor:
        """x (N, G, d) to indices (N, G), for one level ()."""

    def table(self) -> tuple[Tensor, Tensor]:
        """Codewords (G, T, d), and where each level's begin (L + 1,)."""


def lookup(table: Tensor, starts: Tensor, indices: Tensor, levels: Tensor) -> Tensor:
    """Indices (N, G) at levels (N,) to vectors (N, G, d), with a family's `table`."""
    return _pick(table, indices + starts[levels][:, None])


class ProgressiveCodebook(nn.Module):
    """Q_l = Q_{l−1} + {e1, e2} (Minkowski sum, eq. 9), encoded greedily, bit by bit.

    Greedy encoding makes every level's index a prefix of the next level's: a further bit refines.
    """

    family = "progressive"
    prefix_consistent = True

    def __init__(self, groups: int, recipe: CodebookRecipe) -> None:
        super().__init__()
        self.levels = tuple(range(1, recipe.max_level + 1))
        self.increments = nn.Parameter(torch.zeros(recipe.max_level, groups, 2, recipe.d))

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        """Two-means on the greedy residuals, level after level."""
        residual = x.clone()
        for increments in self.increments:
            increments.copy_(torch.stack([two_means(residual[:, g]) for g in range(x.shape[1])]))
            residual -= _pick(increments, _nearest(residual, increments))

    def encode(self, x: Tensor, level: Tensor) -> Tensor:
        residual, index = x, torch.zeros(x.shape[:2], dtype=torch.long, device=x.device)
        for increments in self.increments:
            bit = _nearest(residual, increments)
            residual = residual - _pick(increments, bit)
            index = index * 2 + bit
        top = len(self.levels)
        dropped = torch.tensor([2 ** (top - l) for l in range(top + 1)], device=x.device)
        return index // dropped[level]

    def table(self) -> tuple[Tensor, Tensor]:
        """Level l's 2^l sums begin at 2^l − 2."""
        groups, _, d = self.increments.shape[1:]
        sums = [torch.zeros(groups, 1, d, device=self.increments.device)]
        for increments in self.increments:
            sums.append((sums[-1][:, :, None] + increments[:, None]).reshape(groups, -1, d))
        starts = torch.tensor([max(0, 2**l - 2) for l in range(len(sums))], device=self.increments.device)
        return torch.cat(sums[1:], 1), starts

    def quantise(self, x: Tensor) -> dict[int, Tensor]:
        z, out = torch.zeros_like(x), {}
        for level, increments in zip(self.levels, self.increments, strict=True):
            z = z + _pick(increments, _nearest(x.detach() - z.detach(), increments.detach()))
            out[level] = z
        return out


class NestedCodebook(nn.Module):
    """Q_1 ⊂ Q_2 ⊂ … ⊂ Q_L: the first 2^l codewords are Q_l (eq. 3); the nearest one is taken (eq. 1).

    With a single level it is the fixed-rate baseline.
    """

    prefix_consistent = False

    def __init__(self, groups: int, recipe: CodebookRecipe) -> None:
        super().__init__()
        self.family = recipe.family
        top = recipe.max_level
        self.levels = (top,) if recipe.family == "fixed" else tuple(range(1, top + 1))
        self.codewords = nn.Parameter(torch.zeros(groups, 2**top, recipe.d))

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        """LBG with splitting; each level keeps the codewords of the one before and adds as many."""
        bits = max(self.levels)
        for g, codewords in enumerate(self.codewords):
            codewords.copy_(nested_lbg(x[:, g], bits, keep=len(self.levels) > 1))

    def encode(self, x: Tensor, level: Tensor) -> Tensor:
        top = max(self.levels)
        size = torch.tensor([2**l for l in range(top + 1)], device=x.device)[level]
        absent = torch.arange(2**top, device=x.device) >= size
        return _distances(x, self.codewords).masked_fill(absent, torch.inf).argmin(-1)

    def table(self) -> tuple[Tensor, Tensor]:
        """Every level begins at 0."""
        starts = torch.zeros(max(self.levels) + 1, dtype=torch.long, device=self.codewords.device)
        return self.codewords, starts

    def quantise(self, x: Tensor) -> dict[int, Tensor]:
        with torch.no_grad():
            distances = _distances(x, self.codewords)
        return {level: _pick(self.codewords, distances[..., : 2**level].argmin(-1)) for level in self.levels}


def build_codebook(recipe: CodebookRecipe, latent_channels: int) -> ProgressiveCodebook | NestedCodebook:
    """The codebook of a recipe, its codewords not placed yet."""
    groups = latent_channels // recipe.d
    if recipe.family == "progressive":
        return ProgressiveCodebook(groups, recipe)
    return NestedCodebook(groups, recipe)


def _distances(x: Tensor, codewords: Tensor) -> Tensor:
    """Squared distance less ||x||², which no argmin needs: (N, G, d), (G, S, d) to (N, G, S)."""
    cross = torch.einsum("ngd,gsd->ngs", x, codewords)
    return codewords.square().sum(-1) - 2 * cross


def _nearest(x: Tensor, codewords: Tensor) -> Tensor:
    return _distances(x, codewords).argmin(-1)


def _pick(codewords: Tensor, index: Tensor) -> Tensor:
    """codewords (G, S, d) at index (N, G), to (N, G, d)."""
    groups, size, d = codewords.shape
    offset = torch.arange(groups, device=index.device) * size
    return nn.functional.embedding(index + offset, codewords.reshape(groups * size, d))
