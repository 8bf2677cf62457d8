"""Payloads of several pictures in one message: what they have in common is said once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

from wire.exceptions import ProtocolError
from wire.generated import remote_inference_pb2 as pb

MOST = 256
"""Payloads in one bundle, and pictures that one message gives up."""
MOST_BYTES = 32768
"""Of the data in one bundle: a server takes messages of twice as many."""


def _shared(part: pb.Payload) -> tuple[int, int, int, bool, int, bool, str]:
    return part.point, part.first_plane, part.plane_count, part.packed, part.top_k, part.last, part.question


def bundled(parts: Sequence[pb.Payload], most: int = MOST) -> Iterator[tuple[pb.StreamRequest, list[pb.Payload]]]:
    """Messages that carry these payloads in their order, at most `most` and MOST_BYTES in each, with what is in them.

    In a bundle the picture ids grow; what continues an older picture begins another one.
    """
    for shared, alike in groupby(parts, _shared):
        rest = list(alike)
        while rest:
            fits = _fitting(rest[:most])
            part, rest = rest[:fits], rest[fits:]
            if len(part) == 1:
                yield pb.StreamRequest(payload=part[0]), part
                continue
            point, first_plane, plane_count, packed, top_k, last, question = shared
            steps = [b.picture_id - a.picture_id for a, b in pairwise(part)]
            lengths = [len(one.data) for one in part]
            bundle = pb.PayloadBundle(
                shared=pb.Payload(
                    picture_id=part[0].picture_id,
                    point=point,
                    first_plane=first_plane,
                    plane_count=plane_count,
                    data=b"".join(one.data for one in part),
                    packed=packed,
                    top_k=top_k,
                    last=last,
                    question=question,
                    given_up=[number for one in part for number in one.given_up],
                ),
                lengths=lengths[:1] if len(set(lengths)) == 1 else lengths,
                steps=[] if all(step == 1 for step in steps) else steps,
            )
            yield pb.StreamRequest(bundle=bundle), part


def _fitting(parts: Sequence[pb.Payload]) -> int:
    """How many of these, the first ones, may share a bundle."""
    size = len(parts[0].data)
    for count, (before, part) in enumerate(pairwise(parts), 1):
        size += len(part.data)
        if part.picture_id <= before.picture_id or size > MOST_BYTES:
            return count
    return len(parts)


def unbundled(bundle: pb.PayloadBundle) -> Iterator[pb.Payload]:
    """The payloads in a bundle; what they give up together stands in the first one alone.

    Raises:
        ProtocolError: if lengths, steps and bytes do not fit together, or there are too many.
    """
    data, lengths, steps = bundle.shared.data, list(bundle.lengths), list(bundle.steps)
    if len(lengths) == 1 and lengths[0]:
        lengths *= min(len(data) // lengths[0], MOST + 1)
    count = len(lengths)
    fit = sum(lengths) == len(data) and 0 not in lengths and len(steps) in (0, count - 1)
    if not 1 <= count <= MOST or not fit:
        raise ProtocolError(
            f"A bundle has 1 to {MOST} payloads, lengths whose sum is that of their {len(data)} bytes, and no steps "
            "or one less than payloads."
        )
    end, picture_id = 0, bundle.shared.picture_id
    bundle.shared.ClearField("data")
    for length, step in zip(lengths, [0, *(steps or [1] * (count - 1))], strict=True):
        end, picture_id = end + length, (picture_id + step) % 2**64
        part = pb.Payload()
        part.CopyFrom(bundle.shared)
        part.picture_id, part.data = picture_id, data[end - length : end]
        bundle.shared.ClearField("given_up")
        yield part
