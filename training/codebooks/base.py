"""The seam: what a codebook family is to all the rest."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from training.recipe import CodebookRecipe, Recipe

Sizes = tuple[int, ...]
"""A codebook size K for each segment of channel groups."""


class Codebook(nn.Module, ABC):
    """Four verbs, and what a family can do.

    Sub-vectors x have shape (N, G, d): N positions, G channel groups, each with a codebook of its own.
    Indices at size K are integers below K. At size 1 nothing is sent: the index is 0, and the vector that
    stands in is the mean row.
    """

    sizes: Sizes
    """Codebook sizes K > 1 that are trained, smallest first."""
    segments: tuple[int, ...]
    """Channel groups of each segment: the runs of groups that may have sizes of their own."""
    refinable = False
    """Whether the first bits of an index are the index at a smaller size."""
    any_size = False
    """Whether sizes need not be powers of two."""
    most_levels = 8
    """The largest size is 2 to the power of this at most."""
    takes_scale = False
    """Whether the last channel group may be the token's scale."""
    takes_eta = False
    """Whether `moved` has a meaning: codewords of smaller sizes that may be held in place."""

    @property
    def largest(self) -> int:
        """The largest size."""
        return self.sizes[-1]

    @abstractmethod
    def extend(self, x: Tensor, size: int) -> None:
        """Places the codewords that `size` adds to those of smaller sizes, on sub-vectors x (N, G, d)."""

    @abstractmethod
    def quantise(self, x: Tensor, sizes: Sequence[int]) -> dict[int, Tensor]:
        """x (N, G, d) to its codewords at these sizes; gradients reach the codewords alone."""

    @abstractmethod
    def encode(self, x: Tensor, sizes: Tensor) -> Tensor:
        """x (N, G, d) to indices (N, G), at a size for each group, int64 (G,)."""

    @abstractmethod
    def table(self) -> tuple[Tensor, Tensor]:
        """Codewords (G, T, d), and where those of size K begin: int64 (largest + 1,), indexed by K."""

    def points(self) -> list[Sizes]:
        """Sizes of the operating points that are trained, cheapest first."""
        return [(size,) * len(self.segments) for size in self.sizes]

    def prefixes(self) -> list[Sizes]:
        """Sizes after each plane of the chain, cheapest first; none where the family sends blocks."""
        return []

    def drawn_sizes(self) -> list[int]:
        """The sizes whose vectors one step of training brings nearer, smallest first."""
        return list(self.sizes)

    def bits(self, point: Sizes) -> float:
        """Of a point, for each position of the latent."""
        return sum(groups * math.log2(size) for groups, size in zip(self.segments, point, strict=True))

    def moved(self, size: int) -> Tensor:
        """Σ_k ||e_k − e_k before `size` was added||² over the codewords of smaller sizes (eq. 7)."""
        raise NotImplementedError(f"{type(self).__name__} holds no codewords in place; its recipe has no eta")

    def share_bits(self, distortion: Callable[[Sequence[int]], Tensor]) -> None:
        """Chooses `points`, or the chain, by what each size of each segment costs; nothing where all are alike.

        distortion: sizes (K,) to the loss that each adds, (S, K).
        """

    @classmethod
    def around(cls, recipe: CodebookRecipe) -> str | None:
        """A name for what `projections` gives, of which stage 1 depends; None where it gives nothing."""
        return None

    @classmethod
    def projections(
        cls, recipe: CodebookRecipe, width: int, channels: int
    ) -> tuple[nn.Module, nn.Conv2d, nn.Conv2d] | None:
        """What stands around the quantiser in place of the network's own convolutions, where the family has such.

        A normalisation of the cut (B, width, H, W); a convolution to (B, channels, H, W); and one back to the cut.
        """
        return None

    @classmethod
    def check(cls, recipe: Recipe) -> None:
        """Raises ValueError where a recipe asks for what this family cannot."""
        if recipe.codebook.max_level > cls.most_levels:
            raise ValueError(f"codebook.max_level is {cls.most_levels} at most for {recipe.codebook.family} codebooks")
        if recipe.stage3.decoded == "chain" and not (cls.refinable and recipe.stage3.order == "joint"):
            raise ValueError('stage3.decoded = "chain" is for refinable codebooks, all levels at once')
        if recipe.codebook.scale and not (cls.takes_scale and recipe.stage3.decoded == "chain"):
            raise ValueError('codebook.scale is for aligned codebooks with stage3.decoded = "chain"; remove it')
        if recipe.codebook.scale and recipe.network.channels < 2 * recipe.codebook.d:
            raise ValueError(
                "codebook.scale takes the last of the latent's channel groups; give it another one at least"
            )
        if recipe.codebook.eta and not (cls.takes_eta and recipe.stage3.order == "level by level"):
            raise ValueError("codebook.eta is for nested codebooks trained level by level; remove it")
