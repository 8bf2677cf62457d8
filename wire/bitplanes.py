"""Bit-planes: M indices of l bits as l byte strings, the coarsest bit first.

Plane p (1 = first) holds bit p of every index, most significant first, in the order row, column,
channel group, packed by `numpy.packbits`: sub-vector 0 is the highest bit of the first byte, and
the last byte is padded with zeros. A plane of M sub-vectors takes ceil(M / 8) bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wire.exceptions import ProtocolError

Indices = NDArray[np.uint8]
"""Level-l indices of one picture, shape (M,), each below 2^l; l is at most 8."""


def plane_bytes(sub_vectors: int) -> int:
    """Bytes of one plane of M sub-vectors."""
    return (sub_vectors + 7) // 8


def pack_planes(indices: Indices, level: int) -> list[bytes]:
    """Level-l indices (M,) as l planes, the first plane first."""
    return [np.packbits((indices >> (level - p)) & 1).tobytes() for p in range(1, level + 1)]


def split_planes(payload: bytes, sub_vectors: int) -> list[bytes]:
    """Whole planes that lie one after the other, as the wire carries them, one by one."""
    size = plane_bytes(sub_vectors)
    return [payload[start : start + size] for start in range(0, len(payload), size)]


def unpack_planes(planes: Sequence[bytes], sub_vectors: int) -> Indices:
    """The indices (M,) whose first bits these planes are: level l = len(planes).

    Raises:
        ProtocolError: if a plane does not have ceil(M / 8) bytes, or there are none or more than 8.
    """
    if not 1 <= len(planes) <= 8:
        raise ProtocolError(f"A picture has 1 to 8 planes, not {len(planes)}.")
    for p, plane in enumerate(planes, 1):
        if len(plane) != plane_bytes(sub_vectors):
            raise ProtocolError(
                f"Plane {p} has {len(plane)} bytes; this model's {sub_vectors} sub-vectors take "
                f"{plane_bytes(sub_vectors)}."
            )
    packed = np.frombuffer(b"".join(planes), np.uint8).reshape(len(planes), -1)
    bits = np.unpackbits(packed, axis=1, count=sub_vectors)
    indices = np.zeros(sub_vectors, np.uint8)
    for plane in bits:
        indices = (indices << 1) | plane
    return indices
