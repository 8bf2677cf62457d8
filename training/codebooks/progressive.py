"""Progressive codebooks: every further bit refines (ARTOVeQ, section on successive refinement)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from training.codebooks.base import Codebook, Sizes
from training.codebooks.ops import nearest, pick
from training.lbg import two_means

if TYPE_CHECKING:
    from training.recipe import CodebookRecipe, Recipe


class ProgressiveCodebook(Codebook):
    """Q_l = Q_{l−1} + {e1, e2} (Minkowski sum, eq. 9), K = 2^l, encoded greedily, bit by bit.

    Greedy encoding makes every index a prefix of the next size's, in each channel group alone; so each
    group is a segment, or few neighbours are, as equal in number as can be. At K = 1 the middle of Q_1 stands in.
    distortion: (S, 1 + L), what each segment costs at levels 0..L; stage 2 measures it.
    """

    distortion: Tensor
    refinable = True
    stops_gradients = False
    """Whether each level learns from the residual that it is given, and no level below learns through it."""

    def __init__(self, groups: int, recipe: CodebookRecipe) -> None:
        super().__init__()
        self.sizes = tuple(2**l for l in range(1, recipe.max_level + 1))
        count = recipe.planes_a_level or groups
        self.groups, self.segments = groups, tuple(groups // count + (n < groups % count) for n in range(count))
        self.increments = nn.Parameter(torch.zeros(recipe.max_level, 1 if recipe.shared else groups, 2, recipe.d))
        self.register_buffer("distortion", torch.zeros(count, 1 + recipe.max_level))

    @torch.no_grad()
    def extend(self, x: Tensor, size: int) -> None:
        """Two-means on the greedy residuals of the sizes below."""
        level, residual = self._level(size), x
        for increments in self.increments[: level - 1]:
            residual = residual - pick(increments, nearest(residual, increments))
        parts = residual.reshape(-1, self.increments.shape[1], x.shape[2]).unbind(1)
        self.increments[level - 1] = torch.stack([two_means(part) for part in parts])

    def encode(self, x: Tensor, sizes: Tensor) -> Tensor:
        index = torch.zeros(x.shape[:2], dtype=torch.long, device=x.device)
        for bit in self._bits(x):
            index = index * 2 + bit
        return index * sizes // self.largest

    def table(self) -> tuple[Tensor, Tensor]:
        """The K sums of size K begin at K − 1."""
        d, device, groups = self.increments.shape[3], self.increments.device, self.groups
        sums = [torch.zeros(groups, 1, d, device=device)]
        for increments in self.increments:
            sums.append((sums[-1][:, :, None] + increments[:, None]).reshape(groups, -1, d))
        starts = (torch.arange(self.largest + 1, device=device) - 1).clamp(min=0)
        return torch.cat([sums[1].mean(1, keepdim=True), *sums[1:]], 1), starts

    def quantise(self, x: Tensor, sizes: Sequence[int]) -> dict[int, Tensor]:
        with torch.no_grad():
            bits = self._bits(x, self._level(max(sizes)))
        z, out = torch.zeros_like(x), {1: self.increments[0].mean(1).expand_as(x)}
        for size, increments, bit in zip(self.sizes, self.increments, bits, strict=False):
            z = (z.detach() if self.stops_gradients else z) + pick(increments, bit)
            out[size] = z
        return {size: out[size] for size in sizes}

    def prefixes(self) -> list[Sizes]:
        """Level after level; within one, that segment comes first whose bit lowers distortion most for its bytes."""
        bits = torch.tensor(self.segments, device=self.distortion.device)[:, None]
        gains, sizes, found = (self.distortion[:, :-1] - self.distortion[:, 1:]) / bits, [1] * len(self.segments), []
        for of_level in gains.unbind(1):
            for segment in of_level.argsort(descending=True, stable=True).tolist():
                sizes[segment] *= 2
                found.append(tuple(sizes))
        return found

    @torch.no_grad()
    def share_bits(self, distortion: Callable[[Sequence[int]], Tensor]) -> None:
        self.distortion.copy_(distortion((1, *self.sizes)))

    @classmethod
    def check(cls, recipe: Recipe) -> None:
        super().check(recipe)
        groups, planes = recipe.network.channels // recipe.codebook.d, recipe.codebook.planes_a_level
        if planes and planes > groups:
            raise ValueError(f"codebook.planes_a_level = {planes} is more than the latent's {groups} channel groups")

    def _level(self, size: int) -> int:
        return size.bit_length() - 1

    def _bits(self, x: Tensor, top: int | None = None) -> list[Tensor]:
        """The bits of x, first level first."""
        residual, bits = x, []
        for increments in self.increments[:top]:
            bits.append(nearest(residual, increments))
            residual = residual - pick(increments, bits[-1])
        return bits


class ResidualCodebook(ProgressiveCodebook):
    """The residual VQ baseline (SoundStream, Zeghidour et al. 2021)."""

    stops_gradients = True
