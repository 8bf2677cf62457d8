"""Planes of several pictures in one message: what they have in common is said once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

from wire.exceptions import ProtocolError
from wire.generated import remote_inference_pb2 as pb

MOST = 256
"""Planes in one bundle."""


def _shared(planes: pb.Planes) -> tuple[int, int, int, bool, int]:
    return planes.level, planes.first_plane, planes.top_k, planes.last, planes.coded


def bundled(planes: Sequence[pb.Planes], most: int = MOST) -> Iterator[tuple[pb.StreamRequest, list[pb.Planes]]]:
    """As few messages as carry these planes in their order, at most `most` in each, with what is in them."""
    for shared, alike in groupby(planes, _shared):
        rest = list(alike)
        while rest:
            part, rest = rest[:most], rest[most:]
            if len(part) == 1:
                yield pb.StreamRequest(planes=part[0]), part
                continue
            level, first_plane, top_k, last, coded = shared
            steps = [b.picture_id - a.picture_id for a, b in pairwise(part)]
            bundle = pb.Bundle(
                shared=pb.Planes(
                    picture_id=part[0].picture_id,
                    level=level,
                    first_plane=first_plane,
                    top_k=top_k,
                    last=last,
                    coded=coded,
                    given_up=[number for one in part for number in one.given_up],
                ),
                planes=[one.planes for one in part],
                steps=[] if all(step == 1 for step in steps) else steps,
            )
            yield pb.StreamRequest(bundle=bundle), part


def unbundled(bundle: pb.Bundle) -> Iterator[pb.Planes]:
    """The planes in a bundle.

    Raises:
        ProtocolError: if it is empty, too large, or has not a step between each picture and the next.
    """
    count = len(bundle.planes)
    if not 1 <= count <= MOST or len(bundle.steps) not in (0, count - 1):
        raise ProtocolError(
            f"A bundle has 1 to {MOST} planes and no steps, or one less than planes; this one has {count} and "
            f"{len(bundle.steps)}."
        )
    picture_id = bundle.shared.picture_id
    for i, payload in enumerate(bundle.planes):
        planes = pb.Planes()
        planes.CopyFrom(bundle.shared)
        picture_id += (bundle.steps[i - 1] if bundle.steps else 1) if i else 0
        planes.picture_id = picture_id % 2**64
        planes.planes = payload
        yield planes
