"""What of a picture has arrived: its planes in order, or its block."""

from __future__ import annotations

import numpy as np

from inference_server.unread import Unread
from wire.exceptions import PointError, ProtocolError
from wire.payload import Indices, PayloadCodec

NOTHING: Indices = np.zeros(0, np.int32)


class PlaneAccumulator:
    """What there is of one picture, at the point that has arrived of it."""

    __slots__ = ("_codec", "_due", "closed", "newest", "planes", "point", "target")

    def __init__(self, codec: PayloadCodec, target: int, *, by_planes: bool) -> None:
        """target: the point of the last plane that may come, or of the block.

        Raises:
            PointError: if the model does not have this point, or no planes.
            ProtocolError: if no planes end in this point.
        """
        manifest = codec.manifest
        manifest.point(target)
        if by_planes and not manifest.refinable:
            raise PointError(f"{manifest.name} is not refinable: it has no planes; send the block of a point.")
        if by_planes and target not in manifest.chain:
            raise ProtocolError(f"No planes end in point {target}; send its block, or take a point of the chain.")
        self._codec, self.target = codec, target
        self._due = manifest.chain.index(target) + 1 if by_planes else 0
        self.newest: Indices | Unread = NOTHING
        """Its indices (M,), or the payload that they are in, once something has arrived."""
        self.point = 0
        """The point that it is at; 0: nothing has arrived."""
        self.planes = 0
        """How many of the chain have arrived; 0 for a block."""
        self.closed = False
        """Whether nothing further will come."""

    def add_block(self, data: bytes, packed: bool) -> None:
        """The block of `target`, in which all is.

        Raises:
            ProtocolError: if it was not due, or is none of this point from outside; what is in it, is read later.
        """
        if self._due or self.closed:
            raise ProtocolError(f"A block came where {self._expected()} was due; send each picture once.")
        self._codec.check_block(data, packed, self.target)
        self.newest = Unread(self._codec, data, packed, self.target)
        self.point, self.closed = self.target, True

    def add_planes(self, data: bytes, packed: bool, first: int, count: int) -> None:
        """The next planes of the chain.

        Raises:
            ProtocolError: if others were due, or they are not so many from outside; what is in them, is read later.
        """
        if self.closed or not self._due or first != self.planes + 1:
            raise ProtocolError(f"Plane {first} came where {self._expected()} was due; send each plane once, in order.")
        last = self.planes + count
        if not 1 <= count <= self._due - self.planes:
            raise ProtocolError(
                f"{count} planes came where 1 to {self._due - self.planes} were due; point {self.target} has "
                f"{self._due} in all."
            )
        self._codec.check_run(data, packed, first, count)
        before = self.newest if self.planes else None
        assert not isinstance(before, np.ndarray)  # what we encode ourselves has no planes
        self.newest = Unread(self._codec, data, packed, (first, count), before)
        self.planes, self.point = last, self._codec.manifest.chain[last - 1]
        self.closed = last == self._due

    def put(self, newest: Indices | Unread) -> None:
        """What the server has already, at `target`: encoded itself, or of another question about it."""
        self.newest, self.point, self.closed = newest, self.target, True

    def _expected(self) -> str:
        if self.closed:
            return "nothing"
        return f"plane {self.planes + 1}" if self._due else "the block"
