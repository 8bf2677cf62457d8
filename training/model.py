"""The split network with its codebook: one model for every rate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.allocation import Allocation, allocations
from training.codebooks import at_allocation, build_codebook, from_sub_vectors, to_sub_vectors
from training.network import SplitNetwork
from training.recipe import Recipe


class RateModel(nn.Module):
    """One trained model: encoder, codebook, decoder."""

    distortion: Tensor

    def __init__(self, recipe: Recipe, classes: int, weights: dict[str, Tensor] | None) -> None:
        super().__init__()
        self.recipe = recipe
        self.network = SplitNetwork(recipe.network, recipe.picture, classes, weights)
        self.codebook = build_codebook(recipe.codebook, recipe.network.channels)
        if recipe.codebook.family == "mixed":
            # What each segment costs at each level from 0; stage 2 measures it.
            self.register_buffer("distortion", torch.zeros(recipe.codebook.segments, 1 + recipe.codebook.max_level))
        self._encode, self._decode = self.network.encode, self.network.decode

    def compile_passes(self) -> None:
        """Compiles both passes, for a GPU; a CPU trains no faster with them."""
        self._encode = torch.compile(self.network.encode, dynamic=False)
        self._decode = torch.compile(self.network.decode, dynamic=False)

    @property
    def sub_vectors(self) -> int:
        """M, per picture."""
        c, h, w = self.network.latent_shape
        return c * h * w // self.recipe.codebook.d

    def allocations(self) -> list[Allocation]:
        """Every rate of this model, lowest first: a level for all, or the mixed allocations of every budget."""
        if self.recipe.codebook.family == "mixed":
            return allocations(self.distortion.tolist())
        return [(level,) for level in self.codebook.levels]

    def sub_vectors_of(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) in 0..1 to sub-vectors (N, G, d)."""
        return to_sub_vectors(self._encode(pictures), self.recipe.codebook.d)

    def decode(self, vectors: Tensor) -> Tensor:
        """Sub-vectors (N, G, d), quantised or not, to logits."""
        latent = from_sub_vectors(vectors, self.network.latent_shape)
        return self._decode(latent.contiguous(memory_format=torch.channels_last))

    def forward(self, pictures: Tensor, allocation: Allocation) -> Tensor:
        """Logits (B, classes) at an allocation, or unquantised where it is empty."""
        x = self.sub_vectors_of(pictures)
        if allocation:
            x = at_allocation(self.codebook.quantise(x, sorted(set(allocation))), allocation)
        return self.decode(x)
