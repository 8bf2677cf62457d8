"""Payloads that have arrived, and are read when their pictures are decoded: off the event loop, many at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

import numpy as np

from wire.exceptions import ProtocolError
from wire.payload import Indices, PayloadCodec


class Unread:
    """One payload of a picture, behind those that came before.

    what: the point of a block, or the first plane of a run and how many there are. before: None for the first one.
    """

    __slots__ = ("_before", "_codec", "_data", "_packed", "_what", "found")

    def __init__(
        self, codec: PayloadCodec, data: bytes, packed: bool, what: int | tuple[int, int], before: Unread | None = None
    ) -> None:
        self._codec, self._data, self._packed, self._what, self._before = codec, data, packed, what, before
        self.found: Indices | ProtocolError | None = None
        """The picture's indices (M,), or why it has none; None: it has not been read."""

    def chain(self) -> list[Unread]:
        """What of its picture has not been read, the oldest first."""

        def newest_first() -> Iterator[Unread]:
            one: Unread | None = self
            while one is not None and one.found is None:
                yield one
                one = one._before

        return list(newest_first())[::-1]

    @staticmethod
    def read_alike(parts: Sequence[Unread]) -> None:
        """Parts of one model and the same kind, whose earlier ones have been read."""
        codec, what = parts[0]._codec, parts[0]._what
        payloads = [(one._data, one._packed) for one in parts]
        if isinstance(what, int):
            found = codec.read_blocks(payloads, what)
        else:
            nothing = np.zeros(codec.manifest.sub_vectors, np.int32)
            known = [nothing if one._before is None else one._before.found for one in parts]
            found = codec.read_runs(payloads, np.stack(known), *what)  # type: ignore[arg-type]  # all are indices
        for one, of_one in zip(parts, found, strict=True):
            one.found = of_one if isinstance(of_one, ProtocolError) else of_one.copy()  # lets the others go
            one._before, one._data = None, b""

    def take_over_fault(self) -> bool:
        """Whether the picture was bad before this came."""
        if self._before is not None and isinstance(self._before.found, ProtocolError):
            self.found = self._before.found
        return self.found is not None

    @property
    def kind(self) -> tuple[PayloadCodec, int | tuple[int, int]]:
        """Those that have the same one are read together."""
        return self._codec, self._what


def read(pictures: Sequence[Indices | Unread]) -> list[Indices | ProtocolError]:
    """The indices (M,) of each picture, or why it has none. Use from one thread at a time."""
    chains = [one.chain() for one in pictures if isinstance(one, Unread)]
    for parts in zip_longest(*chains):
        alike: dict[object, list[Unread]] = {}
        for part in parts:
            if part is not None and not part.take_over_fault():
                alike.setdefault(part.kind, []).append(part)
        for group in alike.values():
            Unread.read_alike(group)
    found = [one.found if isinstance(one, Unread) else one for one in pictures]
    return found  # type: ignore[return-value]  # none is unread now
