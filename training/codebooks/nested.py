"""Nested codebooks: the first K codewords are the codebook of size K (ARTOVeQ, eq. 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from training.codebooks.base import Codebook
from training.codebooks.ops import distances, nearest, pick
from training.lbg import split_codewords

if TYPE_CHECKING:
    from training.recipe import CodebookRecipe


class NestedCodebook(Codebook):
    """Q_1 ⊂ Q_2 ⊂ … ⊂ Q_L: the first K = 2^l codewords are Q_l (eq. 3); the nearest one is taken (eq. 1).

    At K = 1 the middle of Q_1 stands in.
    """

    anchor: Tensor
    takes_eta = True
    keeps_parents = True
    """Whether the codewords of smaller sizes stay where they are when a size is added."""

    def __init__(self, groups: int, recipe: CodebookRecipe) -> None:
        super().__init__()
        self.sizes = tuple(2**l for l in range(1, recipe.max_level + 1))
        self.segments = (groups,)
        self.groups = groups
        self.codewords = nn.Parameter(torch.zeros(1 if recipe.shared else groups, self.largest, recipe.d))
        self.register_buffer("anchor", torch.zeros_like(self.codewords))

    @torch.no_grad()
    def extend(self, x: Tensor, size: int) -> None:
        """LBG by splitting: each size keeps the codewords of the one before and adds as many."""
        self.anchor.copy_(self.codewords)
        for g, part in enumerate(x.reshape(-1, len(self.codewords), x.shape[2]).unbind(1)):
            kept = self.keeps_parents and size > 2
            found = self.codewords[g, : size // 2] if kept else None
            while found is None or len(found) < size:
                found = split_codewords(part, found, keep=self.keeps_parents)
            self.codewords[g, :size] = found

    def encode(self, x: Tensor, sizes: Tensor) -> Tensor:
        return nearest(x, self.codewords, sizes)

    def table(self) -> tuple[Tensor, Tensor]:
        """Row 0 is that of K = 1; the codewords of every other size begin at 1."""
        starts = (torch.arange(self.largest + 1, device=self.codewords.device) > 1).long()
        rows = torch.cat([self._middle()[:, None], self.codewords], 1)
        return rows.expand(self.groups, -1, -1), starts

    def quantise(self, x: Tensor, sizes: Sequence[int]) -> dict[int, Tensor]:
        index = nearest_of_first(distances(x.detach(), self.codewords[:, : max(sizes)].detach()), sizes)
        return {size: pick(self.codewords, index[size]) if size > 1 else self._middle().expand_as(x) for size in sizes}

    def moved(self, size: int) -> Tensor:
        below = size // 2 if size > 2 else 0
        return (self.codewords[:, :below] - self.anchor[:, :below]).square().sum()

    def _middle(self) -> Tensor:
        return self.codewords[:, :2].mean(1)


def nearest_of_first(distance: Tensor, sizes: Sequence[int]) -> dict[int, Tensor]:
    """The index of the least of the first K distances (…, K), for each K of `sizes`; each is looked at once."""
    found, least, index, done = {}, None, None, 0
    for size in sorted(set(sizes)):
        part = distance[..., done:size].min(-1)
        if least is None or index is None:
            least, index = part
        elif size > done:
            index = torch.where(part.values < least, part.indices + done, index)
            least = torch.minimum(part.values, least)
        found[size], done = index, size
    return found


class FixedCodebook(NestedCodebook):
    """One size alone: the baseline of a model per rate. All codewords move at every splitting, which is plain LBG."""

    takes_eta = False
    keeps_parents = False
    most_levels = 10

    def __init__(self, groups: int, recipe: CodebookRecipe) -> None:
        super().__init__(groups, recipe)
        self.sizes = self.sizes[-1:]
