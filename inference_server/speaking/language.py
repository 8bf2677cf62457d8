"""A model's language model: what its base and its artifact make together, and what it says of a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from inference_server.programs import open_program, torch_device
from wire.artifact import Artifact
from wire.base import base_file, base_tensors
from wire.exceptions import ArtifactError
from wire.language import ASKED, vocabulary_of
from wire.manifest import ADAPTERS, LAYER, WORDS
from wire.shown import MARK
from wire.tasks import Output
from wire.tasks.free_text import Said

EMBEDDING, NORM = "token_embd.weight", "output_norm.weight"
"""Of the base's tensors: what stands for each token, and the last norm."""
KEYS = "attn_k.weight"
"""Of each layer's tensors: what gives keys (heads · d, width)."""


class Language:
    """Its tensors take 4 bytes a weight. For any thread, one at a time.

    Raises:
        ArtifactError: if torch, the base or a program is not there, or the base is no language model.
    """

    def __init__(self, artifact: Artifact) -> None:
        manifest, device = artifact.manifest, torch_device()
        assert manifest.base is not None and manifest.task.free_text is not None
        self._longest = manifest.task.free_text.longest
        base = base_tensors(manifest)
        adapt, self._layer, self._words = (open_program(artifact, name, device) for name in (ADAPTERS, LAYER, WORDS))
        self._vocabulary = vocabulary_of(base_file(manifest.base))
        import torch  # behind the sentence that says how to install it

        self._torch, self._device = torch, device
        with torch.inference_mode():
            adapted = adapt([torch.from_numpy(tensor).to(device) for tensor in base.values()])
        tensors = dict(zip(base, adapted, strict=True))
        names = [name.removeprefix("blk.0.") for name in tensors if name.startswith("blk.0.")]
        count = sum(name.endswith(KEYS) for name in tensors)
        try:
            self._layers = [[tensors[f"blk.{n}.{name}"] for name in names] for n in range(count)]
            self._norm, self._embedding, keys = tensors[NORM], tensors[EMBEDDING], len(tensors[f"blk.0.{KEYS}"])
        except KeyError as missing:
            raise ArtifactError(
                f"The base of {manifest.name} has no {missing}, as language models have; export the model again."
            ) from missing
        self._nothing = torch.zeros(2, 0, keys, device=device)

    def say(self, seen: Output, question: str) -> Iterator[tuple[Said, bool]]:
        """An answer as it is after each of its tokens, always the likeliest one, and whether it is whole.

        seen: of the picture (N, width). question: in any words.
        """
        torch, words = self._torch, self._vocabulary
        tokens, probability = list[int](), 1.0
        before = [self._nothing] * len(self._layers)
        picture = torch.from_numpy(seen).to(self._device)
        x = torch.cat([self._embedded([words.start]), picture, self._embedded(words.encode(question + ASKED))])
        while True:
            likely, token = self._next(x, before)
            probability *= likely
            if token != words.end:
                tokens.append(token)
            whole = token == words.end or len(tokens) == self._longest
            yield Said(words.decode(tokens).rstrip(MARK), probability), whole  # a character may be cut in two
            if whole:
                return
            x = self._embedded([token])

    def _next(self, x: Any, before: list[Any]) -> tuple[float, int]:
        """The likeliest token behind x (T, width), and how likely it is; x joins what came before, by layer."""
        with self._torch.inference_mode():
            for n, tensors in enumerate(self._layers):
                x, before[n] = self._layer(x, before[n], tensors)
            likely, token = self._words(x[-1], self._norm, self._embedding).softmax(-1).max(-1)
        return float(likely), int(token)

    def _embedded(self, tokens: Sequence[int]) -> Any:
        return self._embedding[list(tokens)]
