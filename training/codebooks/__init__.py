"""Codebook families: how sub-vectors become indices, and indices vectors again.

A new family is one file with a `Codebook`, and one line here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.codebooks.aligned import AlignedCodebook
from training.codebooks.base import Codebook, Sizes
from training.codebooks.mixed import MixedCodebook
from training.codebooks.nested import FixedCodebook, NestedCodebook
from training.codebooks.progressive import ProgressiveCodebook, ResidualCodebook
from training.codebooks.rate_adaptive import RateAdaptiveCodebook

if TYPE_CHECKING:
    from training.recipe import CodebookRecipe

__all__ = ["CODEBOOKS", "Codebook", "Sizes", "build_codebook"]

CODEBOOKS: dict[str, type[Codebook]] = {
    "progressive": ProgressiveCodebook,
    "residual": ResidualCodebook,
    "nested": NestedCodebook,
    "fixed": FixedCodebook,
    "mixed": MixedCodebook,
    "rate-adaptive": RateAdaptiveCodebook,
    "aligned": AlignedCodebook,
}


def build_codebook(recipe: CodebookRecipe, latent_channels: int) -> Codebook:
    """The codebook of a recipe, its codewords not placed yet."""
    return CODEBOOKS[recipe.family](latent_channels // recipe.d, recipe)
