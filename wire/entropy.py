"""Entropy coding of bits: a range coder with static tables, conditional on the bits before.

Bit p of an index, given the p − 1 bits before it, is a one with a probability that the artifact
holds as an integer, for every channel group: so both halves compute with the same numbers. Models of
any size have whole indices coded in place of bits (`wire.folded`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from wire import range_coder
from wire.artifact import Artifact
from wire.exceptions import ArtifactError, ProtocolError
from wire.folded import FoldedCoder, read_folded
from wire.manifest import TABLES, Manifest
from wire.range_coder import Integers, RangeDecoder, RangeEncoder

WORD_BITS = 36
"""What the coder's last word may add, and its rounding."""
UNIT = 65536
"""A probability p is stored as p · 65536."""
LEAST = 656
"""No bit is less likely than 1 %: a rare picture must not cost many times the bytes."""
NODES = 255
"""The node of a bit whose p − 1 predecessors are the number i: 2^(p−1) − 1 + i."""

Table = NDArray[np.intp] | int
"""Which table the bits of each sub-vector (M,), or of all of them, are coded with."""


class EntropyCoder:
    """Bits of one picture to bytes and back, with the tables of one artifact.

    tables: probabilities of a one, uint16 (T, G, 255); T is 1 where the model is refinable,
    else the highest level, since then a bit means something else at every level.
    """

    def __init__(self, tables: NDArray[np.uint16], sub_vectors: int) -> None:
        from constriction import stream

        self.bernoulli = stream.model.Bernoulli(perfect=False)
        self._probabilities = tables.astype(np.float64) / UNIT
        self._flat, self._of_table = self._probabilities.reshape(-1), tables.shape[1] * NODES
        self._costs = -np.log2(np.stack([1 - self._probabilities[0], self._probabilities[0]]))
        self._groups = np.arange(sub_vectors) % tables.shape[1]

    def encode(self, bits: Integers, where: Integers, bit: Integers, before: Integers, table: Table) -> bytes:
        """Bits (N,); each is bit `bit` of sub-vector `where`, whose bits before it are the number `before`."""
        encoder = RangeEncoder()
        encoder.encode(bits, self.bernoulli, self.odds(where, bit, before, table))
        return encoder.string()

    def decoder(self, data: Sequence[bytes]) -> BitDecoder:
        """Takes the bits of several pictures out again.

        Raises:
            ProtocolError: if the data are not words.
        """
        return BitDecoder(self, [RangeDecoder(one) for one in data])

    def costs(self, indices: Integers, depth: Integers, deepest: int) -> NDArray[np.float64]:
        """What each bit of a refinable model's indices (M,), of so many bits each (M,), takes: −log₂ of its
        probability, (M, deepest).

        Bits that are encoded together take at most `WORD_BITS` more than their sum.
        """
        bit = np.arange(1, deepest + 1, dtype=np.int32)
        prefix = indices[:, None] >> np.maximum(depth[:, None] - bit, 0)
        taken = self._costs[prefix & 1, self._groups[:, None], (1 << (bit - 1)) - 1 + (prefix >> 1)]
        return cast(NDArray[np.float64], np.where(bit <= depth[:, None], taken, 0.0))

    def odds(self, where: Integers, bit: Integers, before: Integers, table: Table) -> NDArray[np.float64]:
        """How probable a one is in each place, of one picture, or of several (B, N) with other bits before it."""
        chosen = table if isinstance(table, int) else table[where]
        first = chosen * self._of_table + self._groups[where] * NODES + (1 << (bit - 1)) - 1
        return cast(NDArray[np.float64], self._flat[first + before])


class BitDecoder:
    """Coded strings of several pictures, read step by step, all of them in each."""

    def __init__(self, coder: EntropyCoder, strings: Sequence[RangeDecoder]) -> None:
        self._coder, self._strings = coder, strings
        self.faults: dict[int, ProtocolError] = {}
        """What is wrong with strings, by their place; of those that are none of this code."""

    def bits(self, where: Integers, bit: Integers, before: Integers, table: Table) -> Integers:
        """The next bits (B, N), as `EntropyCoder.encode` took them, of strings with these before it (B, N)."""
        odds, found = self._coder.odds(where, bit, before, table), np.zeros_like(before)
        for i, string in enumerate(self._strings):
            if i not in self.faults:
                try:
                    found[i] = string.decode(self._coder.bernoulli, odds[i])
                except ProtocolError as error:
                    self.faults[i] = error
        return found

    def end(self) -> None:
        """It is a fault if something is left."""
        for i, string in enumerate(self._strings):
            if i not in self.faults:
                try:
                    string.end()
                except ProtocolError as error:
                    self.faults[i] = error


def count_tables(indices: Mapping[int, Integers], groups: int) -> NDArray[np.uint16]:
    """Tables from training pictures' indices (N, M) at levels 1, 2, …, or at the top one where it is enough."""
    tables = np.full((len(indices), groups, NODES), UNIT // 2, np.uint16)
    for t, (level, found) in enumerate(indices.items()):
        flat = found.reshape(-1, groups).astype(np.int64)
        for p in range(1, level + 1):
            prefix, width = flat >> (level - p), 1 << (p - 1)
            for g in range(groups):
                total = np.bincount(prefix[:, g] >> 1, minlength=width)
                ones = np.bincount(prefix[:, g] >> 1, prefix[:, g] & 1, minlength=width)
                share = (ones + 0.5) / (total + 1)
                tables[t, g, width - 1 : 2 * width - 1] = np.clip(np.round(share * UNIT), LEAST, UNIT - LEAST)
    return tables


def read_tables(data: bytes, manifest: Manifest) -> NDArray[np.uint16]:
    """Tables as the artifact's file holds them: unsigned 16-bit integers, little-endian, in C order.

    Raises:
        ArtifactError: if it has not the size that the manifest implies.
    """
    levels = 1 if manifest.refinable else (manifest.largest_size - 1).bit_length()
    shape = (levels, manifest.latent.groups, NODES)
    values = np.frombuffer(data, "<u2") if len(data) % 2 == 0 else np.empty(0)
    if values.size != np.prod(shape) or values.min() < LEAST or values.max() > UNIT - LEAST:
        raise ArtifactError(f"{TABLES} of the model {manifest.name} is not a table of it; export the model again.")
    return values.reshape(shape).astype(np.uint16)


def open_coder(artifact: Artifact) -> EntropyCoder | FoldedCoder | None:
    """The artifact's coder; None where it has no tables, or this machine no range coder."""
    manifest = artifact.manifest
    if TABLES not in manifest.files or not range_coder.available():
        return None
    if manifest.any_size:
        return read_folded(artifact.read(TABLES), manifest)
    return EntropyCoder(read_tables(artifact.read(TABLES), manifest), manifest.sub_vectors)
