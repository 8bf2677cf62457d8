"""One model for any size in each way that `generators.py` has, trained with the network.

Only here: what a generator writes is a table, and the family rate-adaptive trains that table itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from benchmarks.accuracy.generators import BASE, LSTM_RATE, Seq2Seq, k_means, train_rows, use
from training.codebooks import CODEBOOKS
from training.codebooks.base import Codebook
from training.codebooks.ops import nearest, pick
from training.codebooks.rate_adaptive import RateAdaptiveCodebook
from training.regrouping import dkm, ikm

if TYPE_CHECKING:
    from training.recipe import CodebookRecipe


class GeneratedCodebook(RateAdaptiveCodebook):
    """A rate-adaptive codebook whose rows are not trained, but what writes them: RAQ's Seq2Seq (arXiv 2405.14222).

    What is trained beside it is the base that it reads; what is evaluated is what it writes.
    """

    cross_forcing = True

    def __init__(self, groups: int, recipe: CodebookRecipe) -> None:
        super().__init__(groups, recipe)
        self.codewords = nn.Parameter(torch.zeros(groups, BASE, recipe.d))
        generator = Seq2Seq(recipe.d, cross_forcing=self.cross_forcing)
        parametrize.register_parametrization(self, "codewords", generator, unsafe=True)  # more rows than are read

    def extend(self, x: Tensor, size: int) -> None:
        """Reads k-means of x, and learns to write what x needs, the network as it is."""
        if size == self.largest:
            written: parametrize.ParametrizationList = self.parametrizations["codewords"]  # type: ignore[index, assignment]
            with torch.no_grad():
                written.original.copy_(k_means(x, BASE))
            train_rows(lambda: self.codewords, written[0], x, LSTM_RATE)

    def quantise(self, x: Tensor, sizes: Sequence[int]) -> dict[int, Tensor]:
        with parametrize.cached():
            return super().quantise(x, sizes)


class FreeRunningCodebook(GeneratedCodebook):
    """The same without cross-forcing."""

    cross_forcing = False


class RegroupedCodebook(nn.Module):
    """A trained codebook at other sizes by DKM and IKM, without training: what measuring asks of a family."""

    def __init__(self, codebook: Codebook, x: Tensor) -> None:
        super().__init__()
        self.segments = codebook.segments
        self._base = codebook.table()[0][:, 1:].detach()
        self._used = use(x, self._base)
        self._found: dict[int, Tensor] = {}

    def quantise(self, x: Tensor, sizes: Sequence[int]) -> dict[int, Tensor]:
        """As a family does."""
        return {size: pick(words, nearest(x, words)) for size in sizes for words in [self._of(size)]}

    def _of(self, size: int) -> Tensor:
        if size not in self._found:
            self._found[size] = (dkm if size <= self._base.shape[1] else ikm)(self._base, self._used, size)
        return self._found[size]


@torch.no_grad()
def shuffle_rows(codebook: Codebook) -> None:
    """Has the smaller codebooks be random rows of the largest: the floor."""
    words: Tensor = codebook.codewords  # type: ignore[assignment]
    words.copy_(words[:, torch.randperm(words.shape[1], generator=torch.Generator().manual_seed(0))])


CODEBOOKS.update({"lstm": GeneratedCodebook, "lstm-free-running": FreeRunningCodebook})
