"""A language model's file (GGUF): its tensors, and the vocabulary that text is made of."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wire.exceptions import ArtifactError

ASKED = "\n"
"""Stands between a question and its answer."""


class Vocabulary:
    """GPT-2's byte pairs (Radford et al. 2019), so that any text has tokens; digits stand alone, as SmolLM2 has them.

    tokens: by number; merges: pairs with a space between them, the first ones first; start, end: of what is said.
    """

    def __init__(self, tokens: Sequence[str], merges: Sequence[str], start: int, end: int) -> None:
        tokenizers, self.start, self.end = _library("tokenizers"), start, end
        pairs = [(pair.partition(" ")[0], pair.partition(" ")[2]) for pair in merges]
        self._pairs = tokenizers.Tokenizer(
            tokenizers.models.BPE({token: number for number, token in enumerate(tokens)}, pairs)
        )
        alone, of = tokenizers.pre_tokenizers.Digits(individual_digits=True), tokenizers.pre_tokenizers
        self._pairs.pre_tokenizer = of.Sequence([alone, of.ByteLevel(add_prefix_space=False)])
        self._pairs.decoder = tokenizers.decoders.ByteLevel()

    def encode(self, text: str) -> list[int]:
        """The tokens of a text, which never are those that steer the model, whatever it says."""
        found: list[int] = self._pairs.encode(text).ids
        return found

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens; a character that is cut in two is U+FFFD."""
        found: str = self._pairs.decode(list(tokens))
        return found


def vocabulary_of(file: Path) -> Vocabulary:
    """That of a GGUF file."""
    fields = {
        name: opened(file).fields[f"tokenizer.ggml.{name}"].contents()
        for name in ("tokens", "merges", "bos_token_id", "eos_token_id")
    }
    return Vocabulary(fields["tokens"], fields["merges"], fields["bos_token_id"], fields["eos_token_id"])


def tensors_of(file: Path) -> dict[str, NDArray[np.float32]]:
    """The tensors of a GGUF file by their names, of whatever precision, as float32 that may be written to."""
    dequantize = _library("gguf").dequantize  # what is float32 already stays in the file's pages, not for torch
    found = {one.name: dequantize(one.data, one.tensor_type) for one in opened(file).tensors}
    return {name: np.require(tensor, requirements="W") for name, tensor in found.items()}


@lru_cache(1)
def opened(file: Path) -> Any:
    """A GGUF file; to go through its vocabulary takes seconds, so one stays open."""
    return _library("gguf").GGUFReader(file)


def _library(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ArtifactError(
            f"Language models need the package {name}, which is not here; install it with `pip install 'artoveq[llm]'`."
        ) from error
