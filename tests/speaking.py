"""A whole artifact whose answers are free text: the tiny picture half, and a tiny language model of random weights."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from tests import tiny
from tests.training.spoken import WIDTH
from training.language.export import language_programs
from training.language.model import LanguageModel
from training.program import save_program
from wire.artifact import Artifact, read_file, values_of, write_artifact
from wire.base import base_file, read_base
from wire.language import ASKED, vocabulary_of
from wire.manifest import ENCODER, TORCH_DECODER, Base

SEEN = 4
"""Tokens that the language model sees of a picture."""


class Seen(nn.Module):
    """indices (B, M), sizes (B, 2) to tokens (B, SEEN, WIDTH): red and green in four parts of the picture, mixed."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(tiny.SUB_VECTORS // SEEN, WIDTH)

    def forward(self, indices: Tensor, sizes: Tensor) -> Tensor:
        share = (indices + 0.5) / sizes.repeat(1, tiny.POSITIONS)
        mixed: Tensor = self.mix(share.unflatten(1, (SEEN, -1)))
        return mixed


class Spoken:
    """The artifact, and what it says as torch computes it without any cache. longest: tokens of an answer."""

    def __init__(self, folder: Path, base: Base, longest: int) -> None:
        torch.manual_seed(0)
        self._weights = {name: torch.tensor(tensor) for name, tensor in read_base(base).items()}
        self._longest, self.vocabulary = longest, vocabulary_of(base_file(base))
        self._language, self._seen = LanguageModel(self._weights, rank=2).eval(), Seen().eval()
        for name, parameter in self._language.named_parameters():
            if name.endswith(".up"):
                nn.init.normal_(parameter)
        self.artifact = self._written(folder, base)

    def _written(self, folder: Path, base: Base) -> Artifact:
        picture = tiny.questions(folder / "picture")
        values = values_of(picture.manifest)
        task = {"name": "question answering", "metric": "accuracy", "free_text": {"longest": self._longest}}
        of_base = {**base.model_dump(mode="json"), "tensors": list(self._weights)}
        example = (torch.zeros(2, tiny.SUB_VECTORS, dtype=torch.int32), torch.full((2, 2), 16, dtype=torch.int32))
        programs = language_programs(self._language, self._weights)
        files = {ENCODER: read_file(picture.folder, ENCODER), TORCH_DECODER: save_program(self._seen, example)}
        values |= {"name": "spoken", "task": task, "base": of_base}
        return write_artifact(folder / "spoken", values, {**files, **programs})

    @torch.no_grad()
    def says(self, colour: str, question: str, sizes: tuple[int, int] = (16, 16)) -> str:
        """The answer about the tiny picture of a colour: the likeliest token after the other."""
        indices = torch.from_numpy(tiny.indices_of(tiny.picture(colour), sizes))[None]
        seen = self._seen(indices, torch.tensor([sizes]))[0]
        embed, words = self._language.embed, self.vocabulary
        tokens: list[int] = []
        while len(tokens) < self._longest:
            asked = torch.tensor([*words.encode(question + ASKED), *tokens])
            x = torch.cat([embed(torch.tensor([words.start])), seen, embed(asked)])
            hidden, _ = self._language(x[None])
            token = int(self._language.logits(hidden[0, -1]).argmax())
            if token == words.end:
                break
            tokens.append(token)
        return words.decode(tokens)
