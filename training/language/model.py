"""A language model of Llama's kind (Touvron et al. 2023), with the shapes of SmolLM2, and adapters in its attention.

tokens ─ embed ─▶ 30 × (x + attention(RMSNorm(x)), then x + MLP(RMSNorm(x))) ─ RMSNorm ─▶ hidden ─ embedᵀ ─▶ logits

Parameters have the names of the GGUF file.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.lora import LowRank

HEADS, SHARED, BASE, EPS = 9, 3, 100_000.0, 1e-5
"""Heads of the queries; so many of them have keys and values in common; RoPE's longest wave; of the norms."""

Cache = list[tuple[Tensor, Tensor]]
"""Keys and values (B, heads, P, d) of the P tokens before, by layer."""


class RMSNorm(nn.Module):
    """x / its root mean square, in float32."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], eps=EPS) * self.weight


class Layer(nn.Module):
    """Every token looks at itself and at those before it; then each alone through a gated layer."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        few = width // SHARED
        self.attn_norm, self.ffn_norm = RMSNorm(width), RMSNorm(width)
        self.attn_q, self.attn_output = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.attn_k, self.attn_v = nn.Linear(width, few, bias=False), nn.Linear(width, few, bias=False)
        self.ffn_gate, self.ffn_up = nn.Linear(width, hidden, bias=False), nn.Linear(width, hidden, bias=False)
        self.ffn_down = nn.Linear(hidden, width, bias=False)

    def forward(
        self, x: Tensor, waves: Tensor, mask: Tensor, before: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        normed = self.attn_norm(x)
        parts = (self.attn_q(normed), self.attn_k(normed), self.attn_v(normed))
        each = x.shape[-1] // HEADS
        q, k, v = (part.unflatten(-1, (-1, each)).transpose(1, 2) for part in parts)
        q, k = rotated(q, waves), rotated(k, waves)
        if before is not None:
            k, v = torch.cat([before[0], k], 2), torch.cat([before[1], v], 2)
        x = x + self.attn_output(attended(q, k, v, mask).transpose(1, 2).flatten(2))
        normed = self.ffn_norm(x)
        return x + self.ffn_down(F.silu(self.ffn_gate(normed)) * self.ffn_up(normed)), (k, v)


class LanguageModel(nn.Module):
    """weights: of the GGUF file, which stay as they are; rank: of the adapters, which are trained, 0 for none."""

    def __init__(self, weights: Mapping[str, Tensor], rank: int = 0) -> None:
        super().__init__()
        words, width = weights["token_embd.weight"].shape
        layers = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blk."))
        with torch.device("meta"):
            self.token_embd, self.output_norm = nn.Embedding(words, width), RMSNorm(width)
            hidden = len(weights["blk.0.ffn_up.weight"])
            self.blk = nn.ModuleList(Layer(width, hidden) for _ in range(layers))
        self.load_state_dict(weights, assign=True)
        self.requires_grad_(False)
        self.width = width
        for layer in self.blk if rank else ():
            for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
                setattr(layer, name, LowRank(getattr(layer, name), rank))

    def embed(self, tokens: Tensor) -> Tensor:
        """Tokens (B, T) to what stands for them, float32 (B, T, width)."""
        found: Tensor = self.token_embd(tokens)
        return found.float()

    def forward(self, x: Tensor, cache: Cache | None = None) -> tuple[Tensor, Cache]:
        """What stands for tokens (B, T, width), behind those of the cache, to hidden (B, T, width), and all of both."""
        past = 0 if cache is None else cache[0][0].shape[2]
        waves, mask = placed(x, past)
        kept: Cache = []
        for number, layer in enumerate(self.blk):
            x, both = layer(x, waves, mask, None if cache is None else cache[number])
            kept.append(both)
        return self.output_norm(x), kept

    def logits(self, hidden: Tensor) -> Tensor:
        """Of the token that comes next (…, words), from hidden (…, width)."""
        return F.linear(hidden.to(self.token_embd.weight.dtype), self.token_embd.weight).float()


def placed(x: Tensor, past: int) -> tuple[Tensor, Tensor]:
    """Of tokens (B, T, width) behind so many others: turns, as `waves_of`, and whom each may look at (T, past + T)."""
    waves = waves_of(torch.arange(past, past + x.shape[1], device=x.device), x.shape[2] // HEADS)
    return waves, torch.ones(x.shape[1], past + x.shape[1], dtype=torch.bool, device=x.device).tril(past)


def attended(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """What queries (B, HEADS, T, d) find in keys and values (B, HEADS / SHARED, P, d), where the mask (T, P) is set.

    Written out: on a CPU torch's own takes ten times as long for the gradients of so few tokens.
    """
    shared = q.unflatten(1, (-1, SHARED)).flatten(2, 3)  # (B, HEADS / SHARED, SHARED · T, d)
    weights = (shared @ k.transpose(2, 3)).unflatten(2, (SHARED, -1)).float() * q.shape[-1] ** -0.5
    likely = weights.masked_fill(~mask, -torch.inf).softmax(-1).to(v.dtype)
    found: Tensor = (likely.flatten(2, 3) @ v).unflatten(2, (SHARED, -1)).flatten(1, 2)
    return found


def waves_of(places: Tensor, channels: int) -> Tensor:
    """Turns of each pair of channels at places (T,), as cosines and sines (2, T, channels / 2)."""
    turns = places[:, None] * BASE ** (-torch.arange(0, channels, 2, device=places.device) / channels)
    return torch.stack([turns.cos(), turns.sin()])


def rotated(x: Tensor, waves: Tensor) -> Tensor:
    """RoPE (Su et al. 2021) of x (B, heads, T, d), whose pairs lie side by side."""
    cos, sin = waves
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2).to(x.dtype)
