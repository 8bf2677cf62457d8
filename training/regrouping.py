"""Codebooks of other sizes from one that is trained, without data and without training (RAQ, arXiv 2405.14222).

Smaller: DKM, differentiable k-means (Cho et al. 2022), groups the codewords, each as often as it is used. Larger: IKM,
its inverse, finds more codewords that DKM would group into those there are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from wire.exceptions import UsageError

STEPS = 30
"""Of DKM; the temperature falls to nothing over them, so that the last ones are k-means."""
WARMTH = 0.3
"""Of the first step, as a share of the mean squared distance of a codeword to its nearest centre."""
INVERSE_STEPS, INVERSE_RATE = 60, 0.02
"""Of IKM's gradient descent; the rate is a share of the distance between neighbours."""
LEAST_BASE = 4
"""Of IKM: with fewer codewords nothing is known of how the others should lie."""


def dkm(codewords: Tensor, used: Tensor, size: int, *, steps: int = STEPS) -> Tensor:
    """Codewords (G, K, d), used so often each (G, K), as `size` ≤ K centres (G, size, d).

    c_j = Σ_k a_kj u_k e_k / Σ_k a_kj u_k with the attention a_kj = softmax_j(−||e_k − c_j||² / τ), from codewords that
    are spread wide (each the farthest from those before it, by use), τ → 0.
    """
    centres = _spread(codewords, used, size)
    for step in range(steps):
        distance = torch.cdist(codewords, centres).square()
        warmth = WARMTH * max(0.0, 1 - 1.5 * step / steps) * distance.amin(-1).mean((-1,), keepdim=True)[..., None]
        attention = torch.where(
            warmth > 0,
            torch.softmax(-distance / warmth.clamp(min=1e-12), -1),
            torch.nn.functional.one_hot(distance.argmin(-1), size).to(codewords.dtype),
        )
        share = attention * used[..., None]
        mass = share.sum(1)[..., None]
        centres = torch.where(mass > 1e-9, share.transpose(1, 2) @ codewords / mass.clamp(min=1e-9), centres)
    return centres


def ikm(codewords: Tensor, used: Tensor, size: int) -> Tensor:
    """Codewords (G, K, d) of the base as `size` ≥ K of them, (G, size, d), the base's codewords not kept.

    A codeword that is used often, in a wide cell, becomes several around it: as many as halve what is lost most, were
    each cell evenly filled. Gradient descent then makes the centre of each group the base's codeword again, which is
    what DKM would return: min Σ_k ||e_k − mean of group k||², the attention that of DKM from the base.

    Raises:
        UsageError: if the base is too small.
    """
    groups, count, d = codewords.shape
    if count < LEAST_BASE:
        raise UsageError(
            f"A base of {count} codewords is too small for IKM; take a model with {LEAST_BASE} or more, or sizes up to "
            f"{count}."
        )
    radius = _to_nearest(codewords) / 2
    copies = torch.stack([_copies(u * r.square(), size, d) for u, r in zip(used, radius, strict=True)])
    generator = torch.Generator().manual_seed(size)
    found = []
    for g in range(groups):
        parent = torch.repeat_interleave(torch.arange(count), copies[g])
        alone = (copies[g] == 1)[parent]
        offset = torch.randn(size, d, generator=generator)
        offset = offset / offset.norm(dim=1, keepdim=True) * radius[g][parent][:, None] * 0.8
        found.append(codewords[g][parent] + offset.masked_fill(alone[:, None], 0.0))
    return _settled(torch.stack(found), codewords, radius)


def _settled(start: Tensor, base: Tensor, radius: Tensor) -> Tensor:
    """Moves codewords (G, N, d) until DKM groups them into the base (G, K, d)."""
    warmth = radius.square().mean(-1)[:, None, None]
    with torch.enable_grad():
        moving = start.clone().requires_grad_(True)
        optimiser = torch.optim.Adam([moving], INVERSE_RATE * float(radius.mean()))
        for _ in range(INVERSE_STEPS):
            attention = torch.softmax(-torch.cdist(moving, base).square() / warmth, -1)
            centres = attention.transpose(1, 2) @ moving / attention.sum(1)[..., None].clamp(min=1e-9)
            optimiser.zero_grad()
            (centres - base).square().sum().backward()
            optimiser.step()
    return moving.detach()


def _copies(loss: Tensor, size: int, d: int) -> Tensor:
    """How many codewords each cell gets, (K,): always where one more gains most; with n it loses loss · n^(−2/d)."""
    copies = torch.ones(len(loss))
    for _ in range(size - len(loss)):
        gain = loss * (copies ** (-2 / d) - (copies + 1) ** (-2 / d))
        copies[gain.argmax()] += 1
    return copies.long()


def _to_nearest(codewords: Tensor) -> Tensor:
    """The distance of each codeword (G, K, d) to its nearest neighbour, (G, K)."""
    distance = torch.cdist(codewords, codewords)
    own = torch.eye(codewords.shape[1], dtype=torch.bool, device=codewords.device)
    return distance.masked_fill(own, torch.inf).amin(-1)


def _spread(codewords: Tensor, used: Tensor, size: int) -> Tensor:
    """`size` of the codewords (G, K, d): the most used, then always that which loses most (use · squared distance)."""
    rows = torch.arange(len(codewords))
    chosen = [used.argmax(-1)]
    least = torch.full_like(used, torch.inf)
    for _ in range(size - 1):
        newest = codewords[rows, chosen[-1]]
        least = torch.minimum(least, (codewords - newest[:, None]).square().sum(-1))
        chosen.append((used.clamp(min=1e-9) * least).argmax(-1))
    return torch.stack([codewords[rows, index] for index in chosen], 1)
