"""Mixed resolution: each segment of channel groups has a size of its own, so that a budget is met in small steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from training.allocation import allocations
from training.codebooks.base import Sizes
from training.codebooks.nested import NestedCodebook

if TYPE_CHECKING:
    from training.recipe import CodebookRecipe, Recipe


class MixedCodebook(NestedCodebook):
    """A nested codebook whose segments share a budget of bits by what each of them loses without.

    distortion: (S, 1 + L), what each segment costs at levels 0..L; stage 2 measures it.
    """

    distortion: Tensor
    takes_eta = False

    def __init__(self, groups: int, recipe: CodebookRecipe) -> None:
        super().__init__(groups, recipe)
        self.segments = (groups // recipe.segments,) * recipe.segments
        self.least = recipe.least or recipe.segments
        self.register_buffer("distortion", torch.zeros(recipe.segments, 1 + recipe.max_level))

    def points(self) -> list[Sizes]:
        """The best sizes for every sum of levels from `least` on."""
        return [tuple(2**level for level in levels) for levels in allocations(self.distortion.tolist(), self.least)]

    @torch.no_grad()
    def share_bits(self, distortion: Callable[[Sequence[int]], Tensor]) -> None:
        self.distortion.copy_(distortion((1, *self.sizes)))

    @classmethod
    def check(cls, recipe: Recipe) -> None:
        super().check(recipe)
        groups, segments = recipe.network.channels // recipe.codebook.d, recipe.codebook.segments
        if groups % segments:
            raise ValueError(f"codebook.segments = {segments} must divide the latent's {groups} channel groups")
        if recipe.codebook.least and recipe.codebook.least > segments * recipe.codebook.max_level:
            raise ValueError(f"codebook.least = {recipe.codebook.least} is more than all segments have levels")
        if recipe.stage3.order != "joint":
            raise ValueError('a mixed codebook is trained with stage3.order = "joint"')
