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
    """Messages that carry these planes in their order, at most `most` in each, with what is in them.

    In a bundle the picture ids grow; planes that continue an older picture begin another one.
    """
    for shared, alike in groupby(planes, _shared):
        rest = list(alike)
        while rest:
            fits = next((i for i, (a, b) in enumerate(pairwise(rest), 1) if b.picture_id <= a.picture_id), most)
            part, rest = rest[: min(fits, most)], rest[min(fits, most) :]
            if len(part) == 1:
                yield pb.StreamRequest(planes=part[0]), part
                continue
            level, first_plane, top_k, last, coded = shared
            steps = [b.picture_id - a.picture_id for a, b in pairwise(part)]
            lengths = [len(one.planes) for one in part]
            bundle = pb.Bundle(
                shared=pb.Planes(
                    picture_id=part[0].picture_id,
                    level=level,
                    first_plane=first_plane,
                    planes=b"".join(one.planes for one in part),
                    top_k=top_k,
                    last=last,
                    coded=coded,
                    given_up=[number for one in part for number in one.given_up],
                ),
                lengths=lengths[:1] if len(set(lengths)) == 1 else lengths,
                steps=[] if all(step == 1 for step in steps) else steps,
            )
            yield pb.StreamRequest(bundle=bundle), part


def unbundled(bundle: pb.Bundle) -> Iterator[pb.Planes]:
    """The planes in a bundle.

    Raises:
        ProtocolError: if lengths, steps and bytes do not fit together, or there are too many.
    """
    payload, lengths, steps = bundle.shared.planes, list(bundle.lengths), list(bundle.steps)
    if len(lengths) == 1 and lengths[0]:
        lengths *= min(len(payload) // lengths[0], MOST + 1)
    count = len(lengths)
    fit = sum(lengths) == len(payload) and 0 not in lengths and len(steps) in (0, count - 1)
    if not 1 <= count <= MOST or not fit:
        raise ProtocolError(
            f"A bundle has 1 to {MOST} planes, lengths whose sum is that of their {len(payload)} bytes, and no steps "
            "or one less than planes."
        )
    end, picture_id = 0, bundle.shared.picture_id
    bundle.shared.ClearField("planes")
    for length, step in zip(lengths, [0, *(steps or [1] * (count - 1))], strict=True):
        end, picture_id = end + length, (picture_id + step) % 2**64
        planes = pb.Planes()
        planes.CopyFrom(bundle.shared)
        planes.picture_id, planes.planes = picture_id, payload[end - length : end]
        yield planes
