"""Indices of any sizes as one number: what bit-planes are where every size is a power of two.

n = (… (i_1 · K_2 + i_2) · K_3 + …), the first sub-vector the most significant, as a big-endian number of
ceil(bit_length(Π K_m − 1) / 8) bytes. No code of whole bytes for the whole picture is shorter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from wire.exceptions import ProtocolError

RUN = 32
"""Digits that are put together before a long number is touched: most steps are then on short ones."""


def radix_bytes(product: int) -> int:
    """Bytes of a number below `product` = Π K_m."""
    return ((product - 1).bit_length() + 7) // 8


def to_number(indices: Sequence[int], sizes: Sequence[int]) -> bytes:
    """Indices (N,), each below its size (N,), as one number."""
    total, product = 0, 1
    for start in range(0, len(sizes), RUN):
        number, base = 0, 1
        for index, size in zip(indices[start : start + RUN], sizes[start : start + RUN], strict=True):
            number, base = number * size + index, base * size
        total, product = total * base + number, product * base
    return total.to_bytes(radix_bytes(product), "big")


def from_number(data: bytes, sizes: Sequence[int]) -> list[int]:
    """The indices (N,) in a number.

    Raises:
        ProtocolError: if it has not the bytes of these sizes, or is too large for them.
    """
    starts = range(0, len(sizes), RUN)
    bases = [math.prod(sizes[start : start + RUN]) for start in starts]
    product = math.prod(bases)
    if len(data) != radix_bytes(product):
        raise ProtocolError(f"The payload has {len(data)} bytes; this point takes {radix_bytes(product)}.")
    total = int.from_bytes(data, "big")
    if total >= product:
        raise ProtocolError("The payload is a number too large for the sizes of this point.")
    indices: list[int] = []
    for start, base in zip(reversed(starts), reversed(bases), strict=True):
        total, number = divmod(total, base)
        for size in reversed(sizes[start : start + RUN]):
            number, index = divmod(number, size)
            indices.append(index)
    return indices[::-1]
