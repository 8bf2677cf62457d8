"""Entropy coding at any codebook size: one table of counts, folded down to any size K.

The codebook of size K is the first K rows of the largest one, so that what chose row k ≥ K now chooses, nearly always,
that row of the first K which is nearest to row k. The artifact holds the rows in integers, and how often each is chosen
at the largest size, for each channel group: at size K the count of a row is its own and those of all later rows that
fold into it. Edge and server fold the same integers. (A tree of parents, folded one by one, loses nearly all of what
coding saves: a parent's parent is seldom the nearest row.)
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from wire.exceptions import ArtifactError
from wire.manifest import TABLES, Manifest
from wire.range_coder import RangeDecoder, RangeEncoder

UNIT = 1 << 24
"""A symbol's share of the coder's range is counted in parts of this."""
MOST_FOLDED = 4096
"""Rows that are folded: with more, a point that is used for the first time would take long."""
MOST_ROWS = 1 << 22
"""Of models that are remembered."""

Integers = NDArray[np.integer]


def fold(rows: NDArray[np.uint16], counts: Integers, size: int) -> NDArray[np.int64]:
    """Counts (L,) of the largest size as those of a smaller one, (size,): of later rows into the nearest, or the first
    of the nearest, by Euclidean distance. rows: (L, d)."""
    exact = rows.astype(np.float64)  # a double holds integers up to 2^53, and so whatever is summed here
    first, later = exact[:size], exact[size:]
    nearest = ((first**2).sum(1) - 2 * later @ first.T).argmin(1)
    into = np.concatenate([np.arange(size), nearest])
    return np.bincount(into, counts, size).astype(np.int64)


def intervals(counts: Integers) -> NDArray[np.int64]:
    """Where each of K symbols begins in the coder's range, and the end, (K + 1,): k + (2^24 − K) C_k // C_K.

    C_k is the sum of the counts before symbol k.
    """
    before = np.concatenate([[0], np.cumsum(counts)])
    return cast(NDArray[np.int64], np.arange(len(before)) + before * (UNIT - len(counts)) // before[-1])


class FoldedCoder:
    """Indices of one picture to one string and back, whatever sizes the channel groups have.

    The string holds group after group those that are sent; in a group, positions in order.

    rows: (G, L, d), counts: (G, L), of the largest size.
    """

    def __init__(self, rows: NDArray[np.uint16], counts: Integers) -> None:
        from constriction import stream

        self._categorical = stream.model.Categorical
        self._rows, self._counts = rows, counts
        self._models: dict[tuple[int, int], object] = {}
        self._remembered = 0

    def encode(self, indices: Integers, sizes: Integers) -> bytes:
        """Indices (M,) at the sizes (G,) of the groups."""
        encoder, of_groups = RangeEncoder(), indices.reshape(-1, len(sizes))
        for group, size in enumerate(sizes.tolist()):
            if size > 1:
                encoder.encode(np.ascontiguousarray(of_groups[:, group]), self._model(group, size))
        return encoder.string()

    def decode(self, data: bytes, sizes: Integers, positions: int) -> NDArray[np.int32]:
        """The indices (M,) in a string, at the sizes (G,) of the groups.

        Raises:
            ProtocolError: if it is none of these sizes.
        """
        decoder, found = RangeDecoder(data), np.zeros((positions, len(sizes)), np.int32)
        for group, size in enumerate(sizes.tolist()):
            if size > 1:
                found[:, group] = decoder.decode(self._model(group, size), positions)
        decoder.end()
        return found.reshape(-1)

    def _model(self, group: int, size: int) -> object:
        if (group, size) not in self._models:
            if self._remembered + size > MOST_ROWS:
                self._models.clear()
                self._remembered = 0
            # The coder adds 1 to each weight, and scales them by 1 where they sum to 2^24 − K: nothing is rounded.
            weights = np.diff(intervals(fold(self._rows[group], self._counts[group], size))) - 1
            self._models[group, size] = self._categorical(weights.astype(np.float64), perfect=False)
            self._remembered += size
        return self._models[group, size]


def count_rows(indices: Integers, groups: int, largest: int) -> NDArray[np.uint16]:
    """Counts (G, L) of training pictures' indices (N, M) at the largest size: with half a one more for each row, and
    in twice their number, or as much of it as 16 bits hold."""
    of_groups = indices.reshape(-1, groups).T
    twice = 2 * np.stack([np.bincount(found, minlength=largest) for found in of_groups])
    most = np.iinfo(np.uint16).max - 1
    return (1 + twice * most // max(most, int(twice.max()))).astype(np.uint16)


def as_rows(codewords: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Codewords (G, L, d) in integers, the distances within each group in proportion."""
    from_least = codewords.astype(np.float64) - codewords.min((1, 2), keepdims=True)
    largest = np.maximum(from_least.max((1, 2), keepdims=True), 1e-30)
    return cast(NDArray[np.uint16], np.round(from_least / largest * np.iinfo(np.uint16).max).astype(np.uint16))


def read_folded(data: bytes, manifest: Manifest) -> FoldedCoder:
    """The coder of a model of any size. Its file has unsigned 16-bit integers, little-endian: counts (G, L), then rows
    (G, L, d).

    Raises:
        ArtifactError: if it has not the size that the manifest implies, or a count of 0, or too many rows.
    """
    groups, largest, d = manifest.latent.groups, manifest.largest_size, manifest.latent.d
    if len(data) == 2 * groups * largest * (1 + d) and largest <= MOST_FOLDED:
        counts, rows = np.split(np.frombuffer(data, "<u2").astype(np.uint16), [groups * largest])
        if counts.min() > 0:
            return FoldedCoder(rows.reshape(groups, largest, d), counts.reshape(groups, largest))
    raise ArtifactError(f"{TABLES} of the model {manifest.name} is not a table of it; export the model again.")


def folded_bytes(counts: NDArray[np.uint16], rows: NDArray[np.uint16]) -> bytes:
    """What `read_folded` reads."""
    return counts.astype("<u2").tobytes() + rows.astype("<u2").tobytes()
