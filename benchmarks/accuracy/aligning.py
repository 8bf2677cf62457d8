"""The families of the rows `ALIGNED`: gates in one projection, in both, or in none.

All have the same parameters. The gates of a projection that has none stay as they begin, so that it is linear.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from training.codebooks import CODEBOOKS
from training.codebooks.aligned import AlignedCodebook, GatedProjection

if TYPE_CHECKING:
    from training.recipe import CodebookRecipe


class Both(AlignedCodebook):
    """As `aligned`."""

    gates = (True, True)

    @classmethod
    def projections(cls, recipe: CodebookRecipe, width: int, channels: int) -> tuple[nn.Module, nn.Conv2d, nn.Conv2d]:
        norm, *found = super().projections(recipe, width, channels)
        for projection, gated in zip(found, cls.gates, strict=True):
            assert isinstance(projection, GatedProjection)
            projection.gated.requires_grad_(gated)
            projection.gate.requires_grad_(gated)
        return norm, found[0], found[1]


class In(Both):
    gates = (True, False)


class Out(Both):
    gates = (False, True)


class Linear(Both):
    gates = (False, False)


CODEBOOKS.update({"aligned-both": Both, "aligned-in": In, "aligned-out": Out, "aligned-linear": Linear})
