"""What all codebook families are made of: sub-vectors, distances, look-ups. Pure functions of tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def to_sub_vectors(latent: Tensor, d: int) -> Tensor:
    """(B, C, H, W) to (B·H·W, C/d, d): the order of the wire is row, column, channel group."""
    b, c, h, w = latent.shape
    return latent.permute(0, 2, 3, 1).reshape(b * h * w, c // d, d)


def from_sub_vectors(vectors: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Inverse of `to_sub_vectors`, for a latent of shape (C, H, W)."""
    c, h, w = shape
    return vectors.reshape(-1, h, w, c).permute(0, 3, 1, 2)


def distances(x: Tensor, codewords: Tensor) -> Tensor:
    """Squared distance less ||x||², which no argmin needs: (N, G, d), (G or 1, K, d) to (N, G, K)."""
    return _distances_by_group(x, codewords, codewords.square().sum(-1)).transpose(0, 1)


def nearest(x: Tensor, codewords: Tensor, sizes: Tensor | None = None) -> Tensor:
    """The index of the nearest codeword, (N, G): argmin ||x − e||² (eq. 1).

    sizes: of each channel group's codewords, (G,), those that may be chosen; the others follow them.
    """
    lengths = codewords.square().sum(-1)
    if sizes is not None:  # here, where no tensor has a row for each sub-vector
        lengths = lengths.masked_fill(torch.arange(lengths.shape[1], device=x.device) >= sizes[:, None], torch.inf)
    return _distances_by_group(x, codewords, lengths).argmin(-1).transpose(0, 1)


def _distances_by_group(x: Tensor, codewords: Tensor, lengths: Tensor) -> Tensor:
    """lengths: ||e||², (G or 1, K). (G, N, K)."""
    by_group = codewords.expand(x.shape[1], -1, -1).transpose(1, 2)
    return torch.baddbmm(lengths.expand(x.shape[1], -1)[:, None], x.transpose(0, 1), by_group, alpha=-2)


def pick(codewords: Tensor, index: Tensor) -> Tensor:
    """codewords (G or 1, K, d) at index (…, G), to (…, G, d)."""
    groups, size, d = codewords.shape
    offset = torch.arange(groups, device=index.device) * size
    return nn.functional.embedding(index + offset, codewords.reshape(groups * size, d))


def lookup(table: Tensor, starts: Tensor, indices: Tensor, sizes: Tensor) -> Tensor:
    """Indices (…, G) at sizes that broadcast to them, to vectors (…, G, d), with a family's `table`."""
    return pick(table, indices + starts[sizes])


def segment_of_group(segments: Sequence[int]) -> Tensor:
    """Which segment each channel group (G,) belongs to; segments: how many groups each of them has."""
    return torch.arange(len(segments)).repeat_interleave(torch.tensor(segments))


def at_point(z: dict[int, Tensor], sizes: Sequence[int], segments: Sequence[int]) -> Tensor:
    """Of z[K] (N, G, d), each segment of channel groups at a size of its own; sizes (S,)."""
    parts = [z[size].split(list(segments), 1)[s] for s, size in enumerate(sizes)]
    return torch.cat(parts, 1)


class Dequantiser(nn.Module):
    """indices (B, M) and sizes (B, S), integers, to sub-vectors (B, H·W, G, d)."""

    table: Tensor
    starts: Tensor
    segment: Tensor

    def __init__(self, table: Tensor, starts: Tensor, segments: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("table", table.detach().clone())
        self.register_buffer("starts", starts.clone())
        self.register_buffer("segment", segment_of_group(segments).to(table.device))

    def forward(self, indices: Tensor, sizes: Tensor) -> Tensor:
        index = indices.to(torch.int64).reshape(indices.shape[0], -1, len(self.segment))
        of_group = sizes.to(torch.int64)[:, self.segment]
        return lookup(self.table, self.starts, index, of_group[:, None])
