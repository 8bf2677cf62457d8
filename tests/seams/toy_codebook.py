"""A codebook family: evenly spaced values, of any number. What is learned is how far they reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from training.codebooks.base import Codebook

if TYPE_CHECKING:
    from training.recipe import CodebookRecipe, Recipe


class EvenlySpaced(Codebook):
    """Value i of K is reach · (2i + 1 − K) / K, for sub-vectors of one channel; at K = 1 it is 0."""

    any_size = True
    sizes = (2, 3, 5, 8)

    def __init__(self, groups: int, recipe: CodebookRecipe) -> None:
        super().__init__()
        self.segments = (groups - 1, 1)
        self.reach = nn.Parameter(torch.ones(groups, 1))

    @torch.no_grad()
    def extend(self, x: Tensor, size: int) -> None:
        self.reach.copy_(2 * x.std(0))

    def quantise(self, x: Tensor, sizes: Sequence[int]) -> dict[int, Tensor]:
        return {size: self._values(self._index(x, torch.tensor(size)), size) * self.reach for size in sizes}

    def encode(self, x: Tensor, sizes: Tensor) -> Tensor:
        return self._index(x, sizes[:, None])[..., 0]

    def table(self) -> tuple[Tensor, Tensor]:
        """The K values of size K begin at K (K − 1) / 2."""
        rows = torch.cat([self._values(torch.arange(size), size) for size in range(1, self.largest + 1)])
        sizes = torch.arange(self.largest + 1)
        return self.reach[:, None] * rows[:, None], sizes * (sizes - 1).clamp(min=0) // 2

    def points(self) -> list[tuple[int, ...]]:
        """The last channel may be finer than the others."""
        return [(2, 2), (2, 3), (3, 3), (3, 5), (5, 5), (8, 8)]

    def _index(self, x: Tensor, size: Tensor) -> Tensor:
        scaled = (x.detach() / self.reach.detach() + 1) / 2 * size
        return torch.minimum(scaled.floor().clamp(min=0).long(), size - 1)

    def _values(self, index: Tensor, size: int) -> Tensor:
        return (2 * index + 1 - size) / size

    @classmethod
    def check(cls, recipe: Recipe) -> None:
        if recipe.codebook.d != 1:
            raise ValueError("codebook.d must be 1 for values on a line")
