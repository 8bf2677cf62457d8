"""MobileNetV2 (Sandler et al. 2018): the strides of its stages belong to the recipe, for small pictures."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torchvision.models import MobileNet_V2_Weights, MobileNetV2

from training.backbones.base import Backbone, Normalise
from wire.exceptions import TrainingError

if TYPE_CHECKING:
    from training.recipe import NetworkRecipe

CHANNELS_AFTER = (32, 16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320)
"""Of features[0..17]: a cut at n is after features[n − 1]."""
STAGES = ((1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1))
"""(expansion, channels, repeats)"""
CUTS = range(2, 18)
PUBLISHED_STRIDES = (2, 2, 2, 1, 2, 1)
"""Of the stages c24 .. c320."""


class MobileNetV2Backbone(Backbone):
    features = 1280
    before_blocks = 1

    def channels(self, network: NetworkRecipe) -> int:
        return CHANNELS_AFTER[network.cut - 1]

    def halves(
        self, network: NetworkRecipe, picture: int, weights: dict[str, Tensor] | None
    ) -> tuple[nn.Module, nn.Module]:
        trunk = _mobilenet(network.strides)
        if weights is not None:
            trunk.load_state_dict(weights)
        head, tail = trunk.features[: network.cut], trunk.features[network.cut :]
        pool = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(network.dropout))
        return nn.Sequential(Normalise(), *head), nn.Sequential(*tail, *pool)

    def check(self, network: NetworkRecipe, picture: int) -> None:
        if network.cut not in CUTS:
            raise ValueError(f"network.cut = {network.cut} must be from {CUTS[0]} to {CUTS[-1]}")
        if len(network.strides) != len(PUBLISHED_STRIDES):
            raise ValueError(f"network.strides has {len(network.strides)} values; MobileNetV2 has 6 stages with one")

    def pretrained(self, file: str | None) -> dict[str, Tensor]:
        try:
            if file is not None:
                state: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
            else:
                state = dict(MobileNet_V2_Weights.IMAGENET1K_V2.get_state_dict(progress=True, check_hash=True))
        except (OSError, pickle.UnpicklingError) as error:
            raise TrainingError(
                f"The ImageNet weights could not be {'fetched' if file is None else 'read'} ({error}); name a file "
                "that holds torchvision's MobileNetV2 weights with --weights."
            ) from error
        return state

    def uncut(self, weights: dict[str, Tensor]) -> nn.Module:
        trunk = _mobilenet(PUBLISHED_STRIDES)
        trunk.load_state_dict(weights)
        return nn.Sequential(Normalise(), *trunk.features, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _mobilenet(strides: tuple[int, ...]) -> MobileNetV2:
    setting = [[t, c, n, s] for (t, c, n), s in zip(STAGES, (1, *strides), strict=True)]
    return MobileNetV2(inverted_residual_setting=setting)
