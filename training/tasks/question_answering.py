"""Question answering: the output is a logit for each of the answers that there are.

question ─ words with positions, and one that asks ─▶ DEPTH × (look at the picture's tokens ─ block) ─ the one that asks
─ LayerNorm ─▶ logits
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.backbones.transformer import Block, positions
from training.questions import NO_ANSWER
from training.tasks.base import Task

if TYPE_CHECKING:
    from training.views import Batch
    from wire.manifest import Questions
    from wire.pictures import Picture
    from wire.tasks.question_answering import QuestionAnswer

WIDTH, HEADS, DEPTH = 192, 6, 2


class QuestionAnswering(Task):
    """Outputs are (B, Q, answers) for labels (B, Q), or (B, answers) for labels (B,)."""

    metric = "accuracy"
    output = "logits"
    takes = "tokens"
    relit = False
    asks = True

    def head(self, features: int, classes: int, questions: Questions | None) -> nn.Module:
        assert questions is not None
        return QuestionDecoder(features, len(questions.vocabulary), classes)

    def loss(self, output: Tensor, batch: Batch, smoothing: float) -> Tensor:
        """Cross-entropy with label smoothing (Szegedy et al. 2016)."""
        return F.cross_entropy(
            output.flatten(0, -2), batch.labels.flatten(), ignore_index=NO_ANSWER, label_smoothing=smoothing
        )

    def divergence(self, output: Tensor, target: Tensor, temperature: float) -> Tensor:
        """Kullback–Leibler divergence from softened targets, scaled by temperature² (Hinton et al. 2015)."""
        log_p = F.log_softmax(output.flatten(0, -2) / temperature, 1)
        log_q = F.log_softmax(target.flatten(0, -2) / temperature, 1)
        return F.kl_div(log_p, log_q, reduction="batchmean", log_target=True) * temperature**2

    def nll(self, output: Tensor, batch: Batch) -> Tensor:
        asked = batch.labels != NO_ANSWER
        return F.cross_entropy(output[asked], batch.labels[asked], reduction="none")

    def score(self, output: Tensor, batch: Batch) -> Tensor:
        return (output.argmax(-1) == batch.labels)[batch.labels != NO_ANSWER].float()

    def score_of_answer(self, answer: QuestionAnswer, picture: Picture, label: int) -> float:
        return float(answer.best.index == label)

    def manifest(self, classes: Sequence[str], questions: Questions | None) -> dict[str, Any]:
        assert questions is not None
        return {"questions": questions.model_dump(mode="json")}


class QuestionDecoder(nn.Module):
    """Tokens (B, N, F) and questions (B, …, L) to logits (B, …, answers): the picture is the same for all of its own.

    Questions are numbers of words, 0 behind the last one.
    """

    def __init__(self, features: int, words: int, answers: int) -> None:
        super().__init__()
        self.words, self.asks = nn.Embedding(1 + words, WIDTH), nn.Parameter(torch.randn(1, 1, WIDTH))
        self.looks = nn.ModuleList(CrossAttention(WIDTH, features, HEADS) for _ in range(DEPTH))
        self.blocks = nn.ModuleList(Block(WIDTH, HEADS) for _ in range(DEPTH))
        self.norm, self.answer = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, answers)

    def forward(self, tokens: Tensor, questions: Tensor) -> Tensor:
        words = self.words(questions.flatten(0, -2))
        x = torch.cat([self.asks.expand(words.shape[0], -1, -1), words], 1)
        x = x + positions(1, x.shape[1], WIDTH).to(x)
        for look, block in zip(self.looks, self.blocks, strict=True):
            of_picture = x.reshape(tokens.shape[0], -1, WIDTH)
            x = block((of_picture + look(of_picture, tokens)).reshape(x.shape))
        logits: Tensor = self.answer(self.norm(x[:, 0]))
        return logits.reshape(*questions.shape[:-1], -1)


class CrossAttention(nn.Module):
    """Every one of x (B, L, C), after a LayerNorm, looks at all tokens (B, N, F) of its picture."""

    def __init__(self, width: int, features: int, heads: int) -> None:
        super().__init__()
        self.heads, self.norm = heads, nn.LayerNorm(width)
        self.q, self.kv, self.proj = nn.Linear(width, width), nn.Linear(features, 2 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        q = self.q(self.norm(x)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = self.kv(tokens).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        found: Tensor = self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return found
