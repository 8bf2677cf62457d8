"""The operating points that a policy chooses from, with what each costs on this link and gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_CANDIDATES = 16
"""Points that a search over pairs of them looks at."""


@dataclass(frozen=True)
class RatedPoint:
    """One way to send a picture.

    number: of the operating point; 0 where it is a file. bits: on the link, the message around them included.
    metric: what an answer from it is worth, 0 … 1 (`wire.tasks.Task.utility`). encode_s: seconds until it is ready to
    be sent. planes: how many of the chain it is, 0 where it is sent as a block. file: side and quality of a WebP file.
    """

    number: int
    bits: float
    metric: float
    encode_s: float = 0.0
    planes: int = 0
    file: tuple[int, int] | None = None


@dataclass(frozen=True)
class RatedPoints(Sequence[RatedPoint]):
    """Rated points as arrays (N,); also a sequence of them. Files, where there are any, come last."""

    number: NDArray[np.intp]
    bits: NDArray[np.float64]
    metric: NDArray[np.float64]
    encode_s: NDArray[np.float64]
    planes: NDArray[np.intp]
    files: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, points: Sequence[RatedPoint]) -> RatedPoints:
        """From points one by one; files last."""
        return cls(
            np.array([point.number for point in points], np.intp),
            np.array([point.bits for point in points], np.float64),
            np.array([point.metric for point in points], np.float64),
            np.array([point.encode_s for point in points], np.float64),
            np.array([point.planes for point in points], np.intp),
            tuple(point.file for point in points if point.file is not None),
        )

    def __len__(self) -> int:
        return len(self.bits)

    def __getitem__(self, i: int) -> RatedPoint:  # type: ignore[override]  # slices are of no use here
        i = range(len(self))[i]
        return RatedPoint(
            int(self.number[i]),
            float(self.bits[i]),
            float(self.metric[i]),
            float(self.encode_s[i]),
            int(self.planes[i]),
            self.file(i),
        )

    def __iter__(self) -> Iterator[RatedPoint]:
        return (self[i] for i in range(len(self)))

    def rows(self, these: NDArray[np.intp]) -> RatedPoints:
        """Some of the points, by their places, in order."""
        files = tuple(file for i in these.tolist() if (file := self.file(i)) is not None)
        return RatedPoints(
            self.number[these], self.bits[these], self.metric[these], self.encode_s[these], self.planes[these], files
        )

    def file(self, i: int) -> tuple[int, int] | None:
        """Side and quality, where this is a file."""
        at = i - len(self) + len(self.files)
        return self.files[at] if at >= 0 else None

    def __add__(self, other: RatedPoints) -> RatedPoints:
        """These, and others that are files."""
        if not len(other):
            return self
        pairs = zip(
            (self.number, self.bits, self.metric, self.encode_s, self.planes),
            (other.number, other.bits, other.metric, other.encode_s, other.planes),
            strict=True,
        )
        number, bits, metric, encode_s, planes = (np.concatenate(pair) for pair in pairs)
        return RatedPoints(number, bits, metric, encode_s, planes, self.files + other.files)


NO_POINTS = RatedPoints.of(())


def hull(bits: NDArray[np.float64], metric: NDArray[np.float64], most: int = MOST_CANDIDATES) -> NDArray[np.intp]:
    """At most so many points that are worth a look, by their bits; all of them, where they are no more.

    Others lie on or below a line between two of these in metric over bits (Andrew's upper hull, from the cheapest
    to the best), so that a mixture of those two is as good. Of a long hull those are taken that lie evenly along it.
    """
    order = np.lexsort((-metric, bits))
    if len(order) <= most:
        return order
    rising = metric[order] > np.concatenate([[-np.inf], np.maximum.accumulate(metric[order])[:-1]])
    order = order[rising]
    xs, ys = bits[order].tolist(), metric[order].tolist()
    kept: list[int] = []
    for i, (x, y) in enumerate(zip(xs, ys, strict=True)):
        while len(kept) > 1 and (ys[kept[-1]] - ys[kept[-2]]) * (x - xs[kept[-2]]) <= (y - ys[kept[-2]]) * (
            xs[kept[-1]] - xs[kept[-2]]
        ):
            kept.pop()
        kept.append(i)
    order = order[kept]
    if len(order) > most:
        along = _share(metric[order]) + _share(bits[order])
        order = order[np.unique(along.searchsorted(np.linspace(0.0, 2.0, most)).clip(max=len(order) - 1))]
    return order


def _share(rising: NDArray[np.float64]) -> NDArray[np.float64]:
    """From 0 to 1."""
    return np.asarray((rising - rising[0]) / (rising[-1] - rising[0]))
