"""The seam: what a backbone is to all the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from wire.exceptions import TrainingError
from wire.manifest import Base

if TYPE_CHECKING:
    from training.recipe import NetworkRecipe

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Backbone(ABC):
    """A network that can be cut between its blocks, which are numbered from 1.

    picture ─ edge half ─▶ cut (B, channels(cut), H, W) ─ server half ─▶ features (B, F)
    """

    features: int
    """F, what the server half gives; of a picture, its channels."""
    gives: tuple[str, ...] = ("features",)
    """What the server half gives: "features" (B, F), or "a picture" (B, F, S, S); of transformers also "tokens"
    (B, N, F), where they are kept (`transformer.keep_tokens`)."""
    server_is_new = False
    """Whether the server half has no pretrained weights where the edge half has: it learns at the larger rate."""
    attends = False
    """Whether its server half is made of `transformer.Attention`, which `training.lora` adapts."""
    base: Base | None = None
    """Where its pretrained weights lie, if artifacts name that in place of holding them."""
    residual: frozenset[int] = frozenset()
    """Blocks that add to what they are given, and leave its shape: an edge half may do without them."""
    before_blocks: int | None = None
    """Layers of the edge half before its first block, where that is a sequence whose first blocks can be frozen."""
    dense = False
    """Whether its convolutions are dense: then a CPU that multiplies in bfloat16 trains it twice as fast so."""

    @abstractmethod
    def channels(self, network: NetworkRecipe) -> int:
        """Channels at the cut."""

    @abstractmethod
    def halves(
        self, network: NetworkRecipe, picture: int, weights: dict[str, Tensor] | None
    ) -> tuple[nn.Module, nn.Module]:
        """The edge half, from pictures in 0..1 (B, 3, S, S), and the server half; random where weights are None.

        picture: S.
        """

    def check(self, network: NetworkRecipe, picture: int) -> None:  # noqa: B027
        """Raises ValueError where a recipe asks for what this backbone cannot, or with pictures of such a side."""

    def pretrained(self, file: str | None) -> dict[str, Tensor]:
        """Pretrained weights, from `file` or, where None, as they are published.

        Raises:
            TrainingError: if they cannot be read, or fetched, or there are none.
        """
        raise TrainingError(
            'This backbone has no pretrained weights; set network.weights = "random", and leave [teacher] out.'
        )

    def uncut(self, weights: dict[str, Tensor]) -> nn.Module:
        """The whole pretrained network: pictures in 0..1 (B, 3, S, S), of any S, to features (B, F)."""
        raise TrainingError("This backbone has no pretrained weights, so it cannot teach; remove [teacher].")


class Normalise(nn.Module):
    """Pictures in 0..1, shape (B, 3, H, W), to ImageNet's mean and deviation."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        return (pictures - self.mean) / self.std
