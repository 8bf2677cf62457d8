"""A language model that sees: a picture's tokens, projected to its width, stand before what is said.

tokens (B, N, F) ─ projector ─▶ (B, N, width) ─┐
question, answer ─ embed ─────▶ (B, T, width) ─┴─▶ language model ─▶ logits of every token of the answer
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.language.model import Cache, LanguageModel
from training.language.samples import Samples


class Speaker(nn.Module):
    """features: F of the picture's tokens; weights and rank: as `LanguageModel`; start: the token before all others."""

    def __init__(self, features: int, weights: Mapping[str, Tensor], rank: int, start: int) -> None:
        super().__init__()
        self.language, self.start = LanguageModel(weights, rank), start
        width = self.language.width
        self.projector = nn.Sequential(
            nn.LayerNorm(features), nn.Linear(features, width), nn.GELU(), nn.Linear(width, width)
        )
        with torch.no_grad():  # projected tokens start about as large as embedded ones
            for parameter in self.projector[3].parameters():
                parameter.mul_(4 * float(weights["token_embd.weight"].float().std()))

    def look(self, tokens: Tensor) -> Cache:
        """What a picture's tokens (B, N, F) are to all that is asked about it."""
        start = torch.full((len(tokens), 1), self.start, device=tokens.device)
        _, cache = self.language(torch.cat([self.language.embed(start), self.projector(tokens).float()], 1))
        return list(cache)

    def forward(self, tokens: Tensor, samples: Samples) -> Tensor:
        """Logits (A, words) of the tokens of all answers, one sample's after the other's; the answers so far are true.

        A picture (B, N, F) is looked at once for all of its samples.
        """
        cache = [(k[samples.pictures], v[samples.pictures]) for k, v in self.look(tokens)]
        hidden, _ = self.language(self.language.embed(samples.tokens[:, :-1]), cache)
        return self.language.logits(hidden[samples.answers[:, 1:]])

    def trained(self) -> dict[str, nn.Parameter]:
        """The projector and the adapters, by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}


def loss_of(logits: Tensor, samples: Samples) -> Tensor:
    """Cross-entropy of the answers' tokens, the mean ()."""
    return F.cross_entropy(logits, samples.tokens[samples.answers])


def scores_of(logits: Tensor, samples: Samples) -> tuple[Tensor, Tensor]:
    """Of each sample: whether the answer is what is said, word for word, 0 or 1 (N,), and its nll in nats (N,).

    What is said is the likeliest token after the other: it is the answer just where each of its tokens is likeliest.
    """
    target = samples.tokens[samples.answers]
    sample = samples.answers.nonzero()[:, 0]
    nothing = torch.zeros(len(samples.tokens), device=logits.device)
    wrong = nothing.index_add(0, sample, (logits.argmax(-1) != target).float())
    nll = nothing.index_add(0, sample, F.cross_entropy(logits, target, reduction="none"))
    return (wrong == 0).float(), nll
