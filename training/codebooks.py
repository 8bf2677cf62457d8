"""Codebook families: how sub-vectors become indices, and indices vectors again.

A family has four verbs: `extend` (place a level's codewords, stage 2), `quantise` (sub-vectors to
vectors, for training), `encode` (sub-vectors to indices) and `table` (all codewords of all
levels, so that turning indices into vectors is one gather: `lookup`).

Sub-vectors x have shape (N, G, d): N positions, G channel groups, each with a codebook of its own.
Level-l indices are integers below 2^l whose first bit-plane is the most significant bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from training.lbg import split_codewords, two_means
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

    levels: tuple[int, ...]
    prefix_consistent: bool
    """Whether the first l planes of a higher level are the encoding at level l."""

    def extend(self, x: Tensor, level: int) -> None:
        """Places the codewords that `level` adds to those below it, on sub-vectors x (N, G, d)."""

    def quantise(self, x: Tensor, levels: Sequence[int]) -> dict[int, Tensor]:
        """x (N, G, d) to its codewords at these levels; gradients reach the codewords alone."""

    def encode(self, x: Tensor, level: Tensor) -> Tensor:
        """x (N, G, d) to indices (N, G), for one level ()."""

    def table(self) -> tuple[Tensor, Tensor]:
        """Codewords (G, T, d), and where each level's begin (L + 1,)."""

    def moved(self, level: int) -> Tensor:
        """Σ_k ||e_k − e_k before `level` was added||² over the codewords of the levels below (eq. 7)."""


def lookup(table: Tensor, starts: Tensor, indices: Tensor, levels: Tensor) -> Tensor:
    """Indices (N, G) at levels (N,) to vectors (N, G, d), with a family's `table`."""
    return _pick(table, indices + starts[levels][:, None])


def at_allocation(z: dict[int, Tensor], allocation: Sequence[int]) -> Tensor:
    """Mixed resolution: of z[l] (N, G, d), each segment of channel groups from its own level."""
    parts = [z[level].tensor_split(len(allocation), 1)[s] for s, level in enumerate(allocation)]
    return torch.cat(parts, 1)


class ProgressiveCodebook(nn.Module):
    """Q_l = Q_{l−1} + {e1, e2} (Minkowski sum, eq. 9), encoded greedily, bit by bit.

    Greedy encoding makes every level's index a prefix of the next level's: a further bit refines.
    As the residual VQ baseline (SoundStream, Zeghidour et al. 2021) each level learns from the
    residual that it is given, and no gradient reaches the levels below through it.
    """

    prefix_consistent = True

    def __init__(self, groups: int, recipe: CodebookRecipe) -> None:
        super().__init__()
        self.levels = tuple(range(1, recipe.max_level + 1))
        self.groups, self.residual = groups, recipe.family == "residual"
        self.increments = nn.Parameter(torch.zeros(recipe.max_level, 1 if recipe.shared else groups, 2, recipe.d))

    @torch.no_grad()
    def extend(self, x: Tensor, level: int) -> None:
        """Two-means on the greedy residuals of the levels below."""
        residual = x
        for increments in self.increments[: level - 1]:
            residual = residual - _pick(increments, _nearest(residual, increments))
        parts = residual.reshape(-1, self.increments.shape[1], x.shape[2]).unbind(1)
        self.increments[level - 1] = torch.stack([two_means(part) for part in parts])

    def encode(self, x: Tensor, level: Tensor) -> Tensor:
        index = torch.zeros(x.shape[:2], dtype=torch.long, device=x.device)
        for bit in self._bits(x):
            index = index * 2 + bit
        top = len(self.levels)
        dropped = torch.tensor([2 ** (top - l) for l in range(top + 1)], device=x.device)
        return index // dropped[level]

    def table(self) -> tuple[Tensor, Tensor]:
        """Level l's 2^l sums begin at 2^l − 2."""
        d, device = self.increments.shape[3], self.increments.device
        sums = [torch.zeros(self.groups, 1, d, device=device)]
        for increments in self.increments:
            sums.append((sums[-1][:, :, None] + increments[:, None]).reshape(self.groups, -1, d))
        starts = torch.tensor([max(0, 2**l - 2) for l in range(len(sums))], device=device)
        return torch.cat(sums[1:], 1), starts

    def quantise(self, x: Tensor, levels: Sequence[int]) -> dict[int, Tensor]:
        with torch.no_grad():
            bits = self._bits(x, max(levels))
        z, out = torch.zeros_like(x), {}
        for level, (increments, bit) in enumerate(zip(self.increments, bits, strict=False), 1):
            z = (z.detach() if self.residual else z) + _pick(increments, bit)
            out[level] = z
        return {level: out[level] for level in levels}

    def moved(self, level: int) -> Tensor:
        """Nothing: Alg. 2 holds nothing in place (η = 0)."""
        return self.increments.new_zeros(())

    def _bits(self, x: Tensor, top: int | None = None) -> list[Tensor]:
        """The bits of x, first level first."""
        residual, bits = x, []
        for increments in self.increments[:top]:
            bits.append(_nearest(residual, increments))
            residual = residual - _pick(increments, bits[-1])
        return bits


class NestedCodebook(nn.Module):
    """Q_1 ⊂ Q_2 ⊂ … ⊂ Q_L: the first 2^l codewords are Q_l (eq. 3); the nearest one is taken (eq. 1).

    Mixed resolution quantises each segment of channels at a level of its own. With a single level
    it is the fixed-rate baseline.
    """

    anchor: Tensor
    prefix_consistent = False

    def __init__(self, groups: int, recipe: CodebookRecipe) -> None:
        super().__init__()
        top = recipe.max_level
        self.groups = groups
        self.levels = (top,) if recipe.family == "fixed" else tuple(range(1, top + 1))
        self.codewords = nn.Parameter(torch.zeros(1 if recipe.shared else groups, 2**top, recipe.d))
        self.register_buffer("anchor", torch.zeros_like(self.codewords))

    @torch.no_grad()
    def extend(self, x: Tensor, level: int) -> None:
        """LBG by splitting; with several levels, each keeps the codewords of the one before and adds as many."""
        self.anchor.copy_(self.codewords)
        keep = len(self.levels) > 1
        for g, part in enumerate(x.reshape(-1, len(self.codewords), x.shape[2]).unbind(1)):
            found = self.codewords[g, : 2 ** (level - 1)] if keep and level > 1 else None
            for _ in range(1 if keep else level):
                found = split_codewords(part, found, keep=keep)
            assert found is not None
            self.codewords[g, : len(found)] = found

    def encode(self, x: Tensor, level: Tensor) -> Tensor:
        top = max(self.levels)
        size = torch.tensor([2**l for l in range(top + 1)], device=x.device)[level]
        absent = torch.arange(2**top, device=x.device) >= size
        return _distances(x, self.codewords).masked_fill(absent, torch.inf).argmin(-1)

    def table(self) -> tuple[Tensor, Tensor]:
        """Every level begins at 0."""
        starts = torch.zeros(max(self.levels) + 1, dtype=torch.long, device=self.codewords.device)
        return self.codewords.expand(self.groups, -1, -1), starts

    def quantise(self, x: Tensor, levels: Sequence[int]) -> dict[int, Tensor]:
        """Level 0, which takes no bits, is the middle of Q_1."""
        with torch.no_grad():
            distances = _distances(x, self.codewords[:, : 2 ** max(levels)])
        z = {level: _pick(self.codewords, distances[..., : 2**level].argmin(-1)) for level in levels}
        return z | ({0: self.codewords[:, :2].mean(1).expand_as(x)} if 0 in z else {})

    def moved(self, level: int) -> Tensor:
        below = 2 ** (level - 1) if level > 1 else 0
        return (self.codewords[:, :below] - self.anchor[:, :below]).square().sum()


def build_codebook(recipe: CodebookRecipe, latent_channels: int) -> ProgressiveCodebook | NestedCodebook:
    """The codebook of a recipe, its codewords not placed yet."""
    groups = latent_channels // recipe.d
    if recipe.family in ("progressive", "residual"):
        return ProgressiveCodebook(groups, recipe)
    return NestedCodebook(groups, recipe)


def _distances(x: Tensor, codewords: Tensor) -> Tensor:
    """Squared distance less ||x||², which no argmin needs: (N, G, d), (G or 1, S, d) to (N, G, S)."""
    codewords = codewords.expand(x.shape[1], -1, -1)
    cross = torch.einsum("ngd,gsd->ngs", x, codewords)
    return codewords.square().sum(-1) - 2 * cross


def _nearest(x: Tensor, codewords: Tensor) -> Tensor:
    return _distances(x, codewords).argmin(-1)


def _pick(codewords: Tensor, index: Tensor) -> Tensor:
    """codewords (G or 1, S, d) at index (N, G), to (N, G, d)."""
    groups, size, d = codewords.shape
    offset = torch.arange(groups, device=index.device) * size
    return nn.functional.embedding(index + offset, codewords.reshape(groups * size, d))
