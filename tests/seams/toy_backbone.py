"""A backbone of three layers, which may be cut after the first or the second."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn

from training.backbones import Backbone

if TYPE_CHECKING:
    from training.recipe import NetworkRecipe

CHANNELS = (3, 8, 16, 32)


class ThreeLayers(Backbone):
    """Each halves the picture's sides."""

    features = CHANNELS[-1]

    def channels(self, network: NetworkRecipe) -> int:
        return CHANNELS[network.cut]

    def halves(
        self, network: NetworkRecipe, picture: int, weights: dict[str, Tensor] | None
    ) -> tuple[nn.Module, nn.Module]:
        layers = [self._layer(before, after) for before, after in pairwise(CHANNELS)]
        pool = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return nn.Sequential(*layers[: network.cut]), nn.Sequential(*layers[network.cut :], *pool)

    def check(self, network: NetworkRecipe, picture: int) -> None:
        if network.cut > 2 or network.weights != "random":
            raise ValueError('three layers are cut at 1 or 2, and begin with network.weights = "random"')

    def _layer(self, before: int, after: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU())
