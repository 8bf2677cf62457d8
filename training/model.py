"""The split network with its codebook: one model for every rate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.codebooks import Sizes, build_codebook
from training.codebooks.ops import at_point, from_sub_vectors, to_sub_vectors
from training.network import SplitNetwork
from training.recipe import Recipe
from training.tasks import TASKS
from wire.manifest import Questions


class RateModel(nn.Module):
    """One trained model: encoder, codebook, decoder. Arguments are those of `SplitNetwork`."""

    def __init__(
        self, recipe: Recipe, classes: int, weights: dict[str, Tensor] | None, questions: Questions | None = None
    ) -> None:
        super().__init__()
        self.recipe, self.classes = recipe, classes
        self.task = TASKS[recipe.task]
        self.network = SplitNetwork(recipe, classes, weights, questions)
        self.codebook = build_codebook(recipe.codebook, recipe.network.channels)
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

    def sub_vectors_of(self, pictures: Tensor, *, kept: bool = False) -> Tensor:
        """Pictures (B, 3, S, S) in 0..1, or what the stem gave of them and was kept, to sub-vectors (N, G, d)."""
        return to_sub_vectors(self._encode(pictures, kept=kept), self.recipe.codebook.d)

    def decode(self, vectors: Tensor, *further: Tensor) -> Tensor:
        """Sub-vectors (N, G, d), quantised or not, and the task's further inputs (`Batch.further`) to its output."""
        latent = from_sub_vectors(vectors, self.network.latent_shape)
        return self._decode(latent.contiguous(memory_format=torch.channels_last), *further)

    def features(self, vectors: Tensor) -> Tensor:
        """Sub-vectors (N, G, d), quantised or not, to what the task's head is given of them."""
        return self.network.features(from_sub_vectors(vectors, self.network.latent_shape).contiguous())

    def forward(self, pictures: Tensor, point: Sizes, *further: Tensor) -> Tensor:
        """The task's output (B, …) at the sizes of a point, or unquantised where it is empty."""
        return self.decode_at(self.sub_vectors_of(pictures), point, *further)

    def decode_at(self, x: Tensor, point: Sizes, *further: Tensor) -> Tensor:
        """Sub-vectors (N, G, d) to the task's output at the sizes of a point, as `forward` has it."""
        return self.decode(self.at(x, point), *further)

    def at(self, x: Tensor, point: Sizes) -> Tensor:
        """Sub-vectors (N, G, d) at the sizes of a point, as `forward` has it."""
        if not point:
            return x
        return at_point(self.codebook.quantise(x, sorted(set(point))), point, self.codebook.segments)
