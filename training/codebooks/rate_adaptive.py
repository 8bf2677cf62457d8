"""Rate-adaptive codebooks: one table whose first K rows are the codebook of size K, for every integer K (RAQ)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from training.allocation import best_sizes, costs_between
from training.codebooks.base import Sizes
from training.codebooks.mixed import MixedCodebook
from training.lbg import greedy_order, split_codewords

if TYPE_CHECKING:
    from training.recipe import CodebookRecipe

STEPS_OF_AN_OCTAVE = 4
"""Sizes at which an octave's distortion is measured; between them it is interpolated."""
SAMPLES_OF_A_CODEWORD = 32
"""That k-means is given: more make it slower, and training moves the codewords on."""
POSITIONS = 64
"""Budgets are whole bytes of a latent of so many positions."""


class RateAdaptiveCodebook(MixedCodebook):
    """Codebooks of all sizes are nested (Q_1 ⊂ Q_2 ⊂ Q_3 ⊂ …), and each segment may have any of them.

    The Seq2Seq model that generates RAQ's codebooks (arXiv 2405.14222) generates such a table: its codebook of
    size K is the first K rows of the largest one. So the table itself is trained.
    allocated: (budgets, S), the best sizes for each budget of bytes; stage 2 finds them.
    """

    allocated: Tensor
    any_size = True
    most_levels = 10

    def __init__(self, groups: int, recipe: CodebookRecipe) -> None:
        super().__init__(groups, recipe)
        octaves = range(STEPS_OF_AN_OCTAVE * recipe.max_level + 1)
        self.measured = tuple(sorted({round(2 ** (n / STEPS_OF_AN_OCTAVE)) for n in octaves}))
        bits = range(min(self.segments) * (recipe.least or 1), groups * recipe.max_level + 1)
        self.budgets = range(bits[0] * POSITIONS // 8, bits[-1] * POSITIONS // 8 + 1)
        if recipe.segments == 1 and recipe.least:
            self.sizes = self.sizes[recipe.least - 1 :]
        self.register_buffer("distortion", torch.zeros(recipe.segments, len(self.measured)))
        self.register_buffer("allocated", torch.full((len(self.budgets), recipe.segments), self.largest))

    @torch.no_grad()
    def extend(self, x: Tensor, size: int) -> None:
        """All rows at once, with the largest size: k-means of it (LBG), in the order of what each row gains."""
        if size < self.largest:
            return
        few = x[:: max(1, x.shape[0] // (size * SAMPLES_OF_A_CODEWORD))]
        for g, part in enumerate(few.reshape(-1, len(self.codewords), x.shape[2]).unbind(1)):
            found = split_codewords(part, None, keep=False)
            while len(found) < size:
                found = split_codewords(part, found, keep=False)
            self.codewords[g] = found[greedy_order(part, found)]

    def drawn_sizes(self) -> list[int]:
        """All powers of two, and one size of each octave between them, log-uniformly."""
        octaves = torch.tensor([size.bit_length() - 1 for size in self.sizes[:-1]])
        between = 2 ** (octaves + torch.rand(len(octaves)))
        return sorted({*self.sizes, *between.int().tolist()})

    def points(self) -> list[Sizes]:
        """The best sizes for each budget, and each power of two for all segments."""
        found = {tuple(sizes) for sizes in self.allocated.tolist()} | {
            (size,) * len(self.segments) for size in self.sizes
        }
        return sorted(found, key=self.bits)

    @torch.no_grad()
    def share_bits(self, distortion: Callable[[Sequence[int]], Tensor]) -> None:
        self.distortion.copy_(distortion(self.measured))
        costs = costs_between(self.measured, self.distortion.double().numpy(force=True))
        sub_vectors = [groups * POSITIONS for groups in self.segments]
        self.allocated.copy_(torch.tensor(best_sizes(costs, sub_vectors, self.budgets)))
