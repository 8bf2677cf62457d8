"""The payload: indices as bytes and back. What is sent is the block of a point, or runs of planes of the chain.

Bits, where all sizes are powers of two: plane p of a block holds bit p of every sub-vector that has one, the most
significant first; a plane of the chain holds the next bit of every sub-vector of its segments. In a plane
sub-vectors are in the order row, column, channel group, packed by `numpy.packbits`, padded to a byte; or all planes of
a message are one string of the range coder (`wire.entropy`), where that is shorter. Any other sizes: one number
(`wire.mixed_radix`); in models of any size a string of indices (`wire.folded`), where that is shorter than either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from wire.entropy import EntropyCoder, Table
from wire.exceptions import ArtifactError, PointError, ProtocolError
from wire.folded import FoldedCoder
from wire.manifest import TABLES, Manifest, powers_of_two
from wire.mixed_radix import from_number, to_number
from wire.range_coder import check_words

Indices = NDArray[np.int32]
"""Indices of one picture, shape (M,), each below its size; of several, (B, M)."""
Positions = NDArray[np.intp]
Payload = tuple[bytes, bool]
"""What a message carries, and whether it is packed."""

UNREADABLE = "Entropy-coded payloads cannot be read here; send them with `packed`."
MOST_RUNS = 4096
"""Runs whose layout is remembered."""


@dataclass(frozen=True)
class Bits:
    """What a message carries: bit `bit[n]` (from 1, the most significant first) of sub-vector `where[n]`.

    counts: how many belong to each plane. steps: slices without a sub-vector twice, so that each is decoded at once.
    """

    where: Positions
    bit: NDArray[np.int32]
    counts: tuple[int, ...]
    steps: tuple[slice, ...]

    @classmethod
    def of(cls, planes: list[tuple[Positions, NDArray[np.int32]]]) -> Bits:
        """These planes, one after the other."""
        counts = tuple(len(where) for where, _ in planes)
        steps, seen, begun, end = [], set[int](), 0, 0
        for where, _ in planes:
            inside = set(where.tolist())
            if seen & inside:
                steps.append(slice(begun, end))
                seen, begun = set(), end
            seen |= inside
            end += len(where)
        where, bit = (np.concatenate(part) for part in zip(*planes, strict=True))
        return cls(where, bit, counts, (*steps, slice(begun, end)))

    @property
    def packed_bytes(self) -> int:
        """Each plane is padded to a byte."""
        return sum((count + 7) // 8 for count in self.counts)

    def pack(self, bits: NDArray[np.integer]) -> bytes:
        """Bits (N,) of 0 and 1, plane by plane."""
        if all(count % 8 == 0 for count in self.counts):
            return np.packbits(bits.astype(np.uint8)).tobytes()
        parts = np.split(bits.astype(np.uint8), np.cumsum(self.counts)[:-1])
        return b"".join(np.packbits(part).tobytes() for part in parts)

    def unpack(self, data: Sequence[bytes]) -> NDArray[np.uint8]:
        """Inverse of `pack`, of several pictures (B, N); its caller has checked the lengths."""
        packed = np.frombuffer(b"".join(data), np.uint8).reshape(len(data), self.packed_bytes)
        if all(count % 8 == 0 for count in self.counts):
            return np.unpackbits(packed, axis=1)
        ends = np.cumsum([(count + 7) // 8 for count in self.counts])
        parts = zip(np.split(packed, ends[:-1], axis=1), self.counts, strict=True)
        return np.concatenate([np.unpackbits(part, axis=1, count=count) for part, count in parts], axis=1)


class PayloadCodec:
    """Payloads of one model. coder: None reads and writes packed bits alone.

    Whether data are packed is said with them where the model has tables, and is of no meaning elsewhere.
    """

    def __init__(self, manifest: Manifest, coder: EntropyCoder | FoldedCoder | None = None) -> None:
        self.manifest, self.coder = manifest, coder
        self._bits = coder if isinstance(coder, EntropyCoder) else None
        self._folded = coder if isinstance(coder, FoldedCoder) else None
        self._has_tables = TABLES in manifest.files
        self._segment = np.tile(
            np.repeat(np.arange(len(manifest.segments)), manifest.segments), manifest.latent.positions
        )
        self._blocks: dict[int, Bits] = {}
        self._runs: dict[tuple[int, int], Bits] = {}

    def sizes(self, point: int) -> NDArray[np.int32]:
        """Of each segment (S,)."""
        return np.array(self.manifest.point(point).sizes, np.int32)

    def sub_vector_sizes(self, point: int) -> NDArray[np.int32]:
        """Of each sub-vector (M,)."""
        return self.sizes(point)[self._segment]

    def checked(self, found: NDArray[Any], pictures: int, sizes: NDArray[np.int32]) -> Indices:
        """Indices (B, M) as they came out of an encoder, at sizes (S,) of the segments.

        Raises:
            ArtifactError: if they are none: nothing else may be sent.
        """
        expected = (pictures, self.manifest.sub_vectors)
        if found.dtype != np.int32 or found.shape != expected:
            raise ArtifactError(
                f"The encoder of {self.manifest.name} gives {found.dtype} {found.shape} in place of int32 {expected}; "
                "export the model again."
            )
        if (found.view(np.uint32) >= sizes[self._segment].view(np.uint32)).any():  # negative ones are large
            raise ArtifactError(
                f"The encoder of {self.manifest.name} gives indices beyond its codebook; export the model again."
            )
        return found

    @cached_property
    def depths(self) -> NDArray[np.int32]:
        """Bits of each point's segments, (P, S); the next power of two's for other sizes."""
        return np.array([[(k - 1).bit_length() for k in point.sizes] for point in self.manifest.points], np.int32)

    def at_point(self, indices: Indices, point: int) -> Indices:
        """Indices (…, M) at the chain's last point, at one with fewer bits: a refinable model's are prefixes."""
        ended = self.depths[self.manifest.chain[-1] - 1]
        return cast(Indices, indices >> (ended - self.depths[point - 1])[self._segment])

    def write_block(self, indices: Indices, point: int) -> tuple[bytes, bool]:
        """The block of a picture whose indices (M,) are at this point, and whether it is packed."""
        if powers_of_two(self.manifest.point(point).sizes):
            depth = self.depths[point - 1][self._segment]
            data, packed = self._write(indices, depth, self._block(point), self._table(point))
        else:
            sizes = self.sub_vector_sizes(point)
            sent = sizes > 1
            data, packed = to_number(indices[sent].tolist(), sizes[sent].tolist()), self._has_tables
        if self._folded is not None:
            coded = self._folded.encode(indices, self._group_sizes(point))
            if len(coded) < len(data):
                return coded, False
        return data, packed

    def check_block(self, data: bytes, packed: bool, point: int) -> None:
        """Looks at a block from outside, which takes little.

        Raises:
            PointError: if there is no such point.
            ProtocolError: if it is none of this point, whatever is in it.
        """
        sizes = self.manifest.point(point).sizes
        if (packed or self._folded is None) and powers_of_two(sizes):
            self._check(data, packed, self._block(point))

    def read_block(self, data: bytes, packed: bool, point: int) -> Indices:
        """The indices (M,) in a block.

        Raises:
            PointError: if there is no such point.
            ProtocolError: if it is none of this point.
        """
        return _only(self.read_blocks([(data, packed)], point))

    def read_blocks(self, blocks: Sequence[Payload], point: int) -> list[Indices | ProtocolError]:
        """The indices (M,) in each block of a point, or why there are none.

        Raises:
            PointError: if there is no such point.
        """
        if self._folded is None and powers_of_two(self.manifest.point(point).sizes):
            return self._read_bits(blocks, point)
        found: list[Indices | ProtocolError] = []
        for data, packed in blocks:
            try:
                found.append(self._read_one(data, packed, point))
            except ProtocolError as error:
                found.append(error)
        return found

    def _read_bits(self, blocks: Sequence[Payload], point: int) -> list[Indices | ProtocolError]:
        nothing = np.zeros((len(blocks), self.manifest.sub_vectors), np.int32)
        return self._read(blocks, nothing, self._block(point), self._table(point))

    def _read_one(self, data: bytes, packed: bool, point: int) -> Indices:
        if self._folded is not None and not packed:
            return self._folded.decode(data, self._group_sizes(point), self.manifest.latent.positions)
        if powers_of_two(self.manifest.point(point).sizes):
            return _only(self._read_bits([(data, packed)], point))
        if self._has_tables and not packed:
            raise ProtocolError(UNREADABLE)
        of_each, indices = self.sub_vector_sizes(point), np.zeros(self.manifest.sub_vectors, np.int32)
        sent = of_each > 1
        indices[sent] = from_number(data, of_each[sent].tolist())
        return indices

    def write_run(self, indices: Indices, first: int, count: int) -> tuple[bytes, bool]:
        """Planes `first` … `first` + `count` − 1 (from 1) of the indices (M,) at the chain's last point."""
        ended = self.depths[self.manifest.chain[-1] - 1][self._segment]
        return self._write(indices, ended, self._run(first, count), 0)

    def check_run(self, data: bytes, packed: bool, first: int, count: int) -> None:
        """Looks at so many planes from outside, which takes little.

        Raises:
            ProtocolError: if they are not so many, whatever is in them, or not in the chain.
        """
        self._check(data, packed, self._run(first, count))

    def read_run(self, data: bytes, packed: bool, known: Indices, first: int, count: int) -> Indices:
        """Indices (M,) with these planes, from those that were `known` (M,) with the planes before.

        Raises:
            ProtocolError: if it is not so many planes, or they are not in the chain.
        """
        return _only(self.read_runs([(data, packed)], known[None], first, count))

    def read_runs(
        self, runs: Sequence[Payload], known: Indices, first: int, count: int
    ) -> list[Indices | ProtocolError]:
        """As `read_run`, of several pictures, known (B, M); or why there are none.

        Raises:
            ProtocolError: if these planes are not in the chain.
        """
        return self._read(runs, known.copy(), self._run(first, count), 0)

    def costs(self, indices: Indices) -> NDArray[np.float64]:
        """Bytes that each point takes (P,), of one picture with these indices (M,) at the chain's last point.

        Entropy-coded bits are −log₂ of their probabilities, without what the coder rounds; packed ones where shorter.
        """
        packed = np.array([point.payload_bytes for point in self.manifest.points], np.float64)
        if self._bits is None:
            return packed
        ended = self.depths[self.manifest.chain[-1] - 1][self._segment]
        bits = self._bits.costs(indices, ended, int(ended.max()))
        groups = self.manifest.latent.groups
        of_group = bits.reshape(-1, groups, bits.shape[1]).sum(0)
        of_segment = np.add.reduceat(of_group, np.cumsum([0, *self.manifest.segments[:-1]]), axis=0)
        until = np.concatenate([np.zeros((len(of_segment), 1)), of_segment.cumsum(1)], 1)
        coded = until[np.arange(len(until)), self.depths].sum(1) / 8
        return cast(NDArray[np.float64], np.minimum(coded, packed))

    def _write(self, indices: Indices, depth: NDArray[np.int32], bits: Bits, table: Table) -> tuple[bytes, bool]:
        """depth: bits that the indices have (M,)."""
        prefix = indices[bits.where] >> (depth[bits.where] - bits.bit)
        packed = bits.pack(prefix & 1)
        if self._bits is None:
            return packed, self._has_tables
        coded = self._bits.encode(prefix & 1, bits.where, bits.bit, prefix >> 1, table)
        return (coded, False) if len(coded) < len(packed) else (packed, True)

    def _check(self, data: bytes, packed: bool, bits: Bits) -> None:
        if packed or not self._has_tables:
            if len(data) != bits.packed_bytes:
                raise ProtocolError(
                    f"The payload has {len(data)} bytes; packed, these {len(bits.counts)} planes take "
                    f"{bits.packed_bytes}."
                )
        elif self._bits is None:
            raise ProtocolError(UNREADABLE)
        else:
            check_words(data)

    def _read(
        self, payloads: Sequence[Payload], known: Indices, bits: Bits, table: Table
    ) -> list[Indices | ProtocolError]:
        """known: (B, M), into which is read."""
        found: list[Indices | ProtocolError] = list(known)
        packed, coded = list[int](), list[int]()
        for i, (data, is_packed) in enumerate(payloads):
            try:
                self._check(data, is_packed, bits)
            except ProtocolError as error:
                found[i] = error
            else:
                (packed if is_packed or not self._has_tables else coded).append(i)
        if packed:
            rows, of_planes = np.array(packed)[:, None], bits.unpack([payloads[i][0] for i in packed])
            for step in bits.steps:
                where = bits.where[step]
                known[rows, where] = known[rows, where] * 2 + of_planes[:, step]
        if coded:
            assert self._bits is not None  # else `_check` refuses
            rows, strings = np.array(coded)[:, None], self._bits.decoder([payloads[i][0] for i in coded])
            for step in bits.steps:
                where = bits.where[step]
                before = known[rows, where]
                known[rows, where] = before * 2 + strings.bits(where, bits.bit[step], before, table)
            strings.end()
            for i, fault in strings.faults.items():
                found[coded[i]] = fault
        return found

    def _group_sizes(self, point: int) -> NDArray[np.int32]:
        """Of each channel group (G,)."""
        return self.sub_vector_sizes(point)[: self.manifest.latent.groups]

    def _table(self, point: int) -> Table:
        """Which table each sub-vector's bits have: one for all where the model is refinable, else its level's."""
        if self.manifest.refinable:
            return 0
        return cast(NDArray[np.intp], np.maximum(self.depths[point - 1] - 1, 0)[self._segment])

    def _block(self, point: int) -> Bits:
        if point not in self._blocks:
            depth = self.depths[point - 1][self._segment]
            levels = range(1, int(depth.max()) + 1)
            planes = [(where := np.flatnonzero(depth >= p), np.full(len(where), p, np.int32)) for p in levels]
            self._blocks[point] = Bits.of(planes)
        return self._blocks[point]

    def _run(self, first: int, count: int) -> Bits:
        if not self.manifest.refinable:
            raise PointError(f"{self.manifest.name} is not refinable: it has no planes; send the block of a point.")
        if first < 1 or count < 1 or first - 1 + count > len(self.manifest.planes):
            raise ProtocolError(
                f"Planes {first} to {first - 1 + count} do not exist; the chain has {len(self.manifest.planes)}."
            )
        if (first, count) not in self._runs:
            if len(self._runs) >= MOST_RUNS:
                self._runs.clear()
            self._runs[first, count] = Bits.of([self._plane(n) for n in range(first, first + count)])
        return self._runs[first, count]

    def _plane(self, number: int) -> tuple[Positions, NDArray[np.int32]]:
        """Plane `number` of the chain."""
        where = np.flatnonzero(np.isin(self._segment, self.manifest.planes[number - 1].segments))
        depth = self.depths[self.manifest.chain[number - 1] - 1]
        return where, depth[self._segment[where]]


def _only(found: list[Indices | ProtocolError]) -> Indices:
    """Of one picture.

    Raises:
        ProtocolError: if it has none.
    """
    (one,) = found
    if isinstance(one, ProtocolError):
        raise one
    return one
