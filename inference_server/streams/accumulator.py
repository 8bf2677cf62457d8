"""What of a picture has arrived: its planes, packed or entropy-coded, as the first bits of its indices."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wire.bitplanes import Indices, plane_bytes, split_planes, unpack_planes
from wire.entropy import EntropyCoder
from wire.exceptions import ProtocolError


@dataclass(frozen=True)
class Received:
    """The first `planes` bits of the level-l indices of one picture."""

    level: int
    sub_vectors: int
    planes: int = 0
    bits: Indices | None = None

    @property
    def indices(self) -> Indices:
        """The first bits of every index, shape (M,); zeros where nothing has arrived."""
        return np.zeros(self.sub_vectors, np.uint8) if self.bits is None else self.bits

    def add(self, payload: bytes, coded: int, coder: EntropyCoder | None) -> Received:
        """With the next planes: `coded` of them entropy-coded, or, where that is 0, packed.

        Raises:
            ProtocolError: if the payload is not so many whole planes, or more than the level has.
        """
        size, due = plane_bytes(self.sub_vectors), self.level - self.planes
        count, rest = (coded, 0) if coded else divmod(len(payload), size)
        if rest or not count or count > due:
            kind = f"{count} coded planes" if coded else f"{len(payload)} bytes"
            raise ProtocolError(
                f"{kind} are not whole planes of this picture ({due} more at this level, {size} bytes each if packed)."
            )
        last = self.planes + count
        if not coded:
            new = unpack_planes(split_planes(payload, self.sub_vectors), self.sub_vectors)
            bits = (self.indices << np.uint8(count)) | new
        elif coder is None:
            raise ProtocolError("This server reads packed planes alone; send planes without `coded`.")
        else:
            bits = coder.decode(payload, self.level, self.indices, self.planes + 1, last)
        return replace(self, planes=last, bits=bits)
