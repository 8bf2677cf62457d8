"""Linde–Buzo–Gray codebook design with splitting (Linde, Buzo, Gray 1980)."""

from __future__ import annotations

import torch
from torch import Tensor

LLOYD_STEPS = 12
MAX_SAMPLES = 100_000


def _sample(x: Tensor) -> Tensor:
    """At most MAX_SAMPLES rows of x, evenly spaced."""
    return x[:: max(1, len(x) // MAX_SAMPLES)]


def lloyd(x: Tensor, codewords: Tensor, frozen: int) -> Tensor:
    """Lloyd iterations that move all codewords but the first `frozen`. Empty cells stay where they are."""
    codewords = codewords.clone()
    for _ in range(LLOYD_STEPS):
        cell = torch.cdist(x, codewords).argmin(1)
        count = torch.bincount(cell, minlength=len(codewords)).to(x.dtype)
        total = torch.zeros_like(codewords).index_add_(0, cell, x)
        moved = torch.where(count[:, None] > 0, total / count.clamp(min=1)[:, None], codewords)
        codewords[frozen:] = moved[frozen:]
    return codewords


def two_means(x: Tensor) -> Tensor:
    """The two centroids of x (N, d), started by splitting the mean along the widest direction: (2, d)."""
    x = _sample(x)
    mean = x.mean(0)
    _, axes = torch.linalg.eigh((x - mean).T @ (x - mean))
    step = axes[:, -1] * ((x - mean) @ axes[:, -1]).std()
    return lloyd(x, torch.stack([mean - step, mean + step]), frozen=0)


def split_codewords(x: Tensor, codewords: Tensor | None, *, keep: bool) -> Tensor:
    """One LBG splitting on samples x (N, d): twice the codewords, or the first two where there are none.

    Codeword k's child is k + len(codewords). With `keep` the parents stay where they are, so that
    Q_{l−1} ⊂ Q_l holds with every level at its own optimum; without it all move, which is plain LBG
    for one rate.
    """
    x = _sample(x)
    if codewords is None:
        return two_means(x)
    cell = torch.cdist(x, codewords).argmin(1)
    children = []
    for k, parent in enumerate(codewords):
        members = x[cell == k]
        if len(members) < 2:
            children.append(parent + 1e-3 * torch.randn_like(parent))
            continue
        # The child starts where the parent serves worst: the far half of its cell.
        distance = (members - parent).square().sum(1)
        far = members[distance >= distance.median()]
        children.append(two_means(far)[0] if len(far) > 1 else far[0])
    return lloyd(x, torch.cat([codewords, torch.stack(children)]), frozen=len(codewords) if keep else 0)


def greedy_order(x: Tensor, codewords: Tensor) -> Tensor:
    """The order of codewords (K, d) in which each lowers the distortion of x (N, d) most, given those before it: (K,).

    The first two are chosen together, for what is best alone is the middle. Distances are those of codewords, each
    as often as it is used.
    """
    used = torch.bincount(torch.cdist(_sample(x), codewords).argmin(1), minlength=len(codewords)).to(x.dtype)
    distance = torch.cdist(codewords, codewords).square()
    pairs = torch.stack([torch.minimum(distance, row) @ used for row in distance])
    order = list(divmod(int(pairs.argmin()), len(codewords)))
    least = distance[order].amin(0)
    left = torch.ones(len(codewords), dtype=torch.bool, device=x.device)
    left[order] = False
    while left.any():
        gain = (least - distance).clamp(min=0) @ used
        order.append(int(gain.masked_fill(~left, -1.0).argmax()))
        left[order[-1]] = False
        least = torch.minimum(least, distance[order[-1]])
    return torch.tensor(order, device=x.device)
