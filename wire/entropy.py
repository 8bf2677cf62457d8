"""Entropy coding of bit-planes: a range coder with static tables, conditional on the bits before.

Bit p of an index, given the p − 1 bits before it, is a one with a probability that the artifact
holds as an integer, for every channel group: so both halves compute with the same numbers. The
coder is constriction's (Bamler 2022); where it is not installed, planes travel packed
(`wire.bitplanes`), which every server reads as well.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import cast

import numpy as np
from numpy.typing import NDArray

from wire.artifact import TABLES, Artifact, Manifest
from wire.bitplanes import Indices, pack_planes
from wire.exceptions import ArtifactError, ProtocolError

WORD_BITS = 36
"""What the coder's last word may add, and its rounding."""
UNIT = 65536
"""A probability p is stored as p · 65536."""
LEAST = 656
"""No bit is less likely than 1 %: a rare picture must not cost many times the bytes."""
NODES = 255
"""The node of a bit whose p − 1 predecessors are the number i: 2^(p−1) − 1 + i."""


class EntropyCoder:
    """Planes of one picture to bytes and back, with the tables of one artifact.

    tables: probabilities of a one, uint16 (T, G, 255); T is 1 where levels are prefixes of each other,
    else the highest level, since then a bit means something else at every level.
    """

    def __init__(self, tables: NDArray[np.uint16], sub_vectors: int) -> None:
        from constriction import stream  # the one native dependency that not every device has

        self._queue, self._bernoulli = stream.queue, stream.model.Bernoulli(perfect=False)
        self._probabilities = tables.astype(np.float64) / UNIT
        self._groups = np.arange(sub_vectors) % tables.shape[1]

    def encode(self, indices: Indices, level: int, first: int, last: int) -> bytes:
        """Planes `first`..`last` (from 1, both included) of level-l indices (M,)."""
        bits, odds = zip(*(self._plane(indices, level, p) for p in range(first, last + 1)), strict=True)
        encoder = self._queue.RangeEncoder()
        encoder.encode(np.concatenate(bits), self._bernoulli, np.concatenate(odds))
        return cast(bytes, encoder.get_compressed().astype("<u4").tobytes())

    def costs(self, indices: Indices, level: int) -> list[float]:
        """What each plane of level-l indices (M,) takes, in bits: the sum of −log₂ of its bits' probabilities.

        Planes that are encoded together take at most `WORD_BITS` more than their sum.
        """
        planes = (self._plane(indices, level, p) for p in range(1, level + 1))
        return [float(-np.log2(np.where(bits, odds, 1 - odds)).sum()) for bits, odds in planes]

    def _plane(self, indices: Indices, level: int, p: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """The bits of plane p, and how probable a one was in each place."""
        prefix = indices.astype(np.int32) >> (level - p)
        return prefix & 1, self._odds(prefix >> 1, level, p)

    def decode(self, payload: bytes, level: int, known: Indices, first: int, last: int) -> Indices:
        """The first `last` bits of indices, of which `known` (M,) are the first − 1 that came before.

        Raises:
            ProtocolError: if the payload is not such planes.
        """
        if not payload or len(payload) % 4:
            raise ProtocolError(f"{len(payload)} bytes are not entropy-coded planes, which come in words of 4.")
        decoder = self._queue.RangeDecoder(np.frombuffer(payload, "<u4").astype(np.uint32))
        prefix = known.astype(np.int32)
        try:
            for p in range(first, last + 1):
                prefix = prefix * 2 + decoder.decode(self._bernoulli, self._odds(prefix, level, p))
            whole = decoder.maybe_exhausted()
        except AssertionError:  # constriction: not a string of this code
            whole = False
        if not whole:
            raise ProtocolError(f"These {len(payload)} bytes are not planes {first} to {last} of this model.")
        return prefix.astype(np.uint8)

    def _odds(self, prefix: NDArray[np.int32], level: int, p: int) -> NDArray[np.float64]:
        table = self._probabilities[min(level, len(self._probabilities)) - 1]
        return cast(NDArray[np.float64], table[self._groups, (1 << (p - 1)) - 1 + prefix])


def write_planes(coder: EntropyCoder | None, indices: Indices, level: int, first: int, last: int) -> bytes:
    """Planes `first`..`last` as they are sent: entropy-coded where there is a coder, else packed."""
    if coder is None:
        return b"".join(pack_planes(indices, level)[first - 1 : last])
    return coder.encode(indices, level, first, last)


def count_tables(indices: Mapping[int, Indices], groups: int) -> NDArray[np.uint16]:
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
    shape = (1 if manifest.prefix_consistent else manifest.max_level, manifest.channel_groups, NODES)
    values = np.frombuffer(data, "<u2") if len(data) % 2 == 0 else np.empty(0)
    if values.size != np.prod(shape) or values.min() < LEAST or values.max() > UNIT - LEAST:
        raise ArtifactError(f"{TABLES} of the model {manifest.name} is not a table of it; export the model again.")
    return values.reshape(shape).astype(np.uint16)


def open_coder(artifact: Artifact) -> EntropyCoder | None:
    """The artifact's coder; None where it has no tables, or this machine no constriction."""
    manifest = artifact.manifest
    if TABLES not in manifest.files or importlib.util.find_spec("constriction") is None:
        return None
    return EntropyCoder(read_tables(artifact.path(TABLES).read_bytes(), manifest), manifest.sub_vectors)
