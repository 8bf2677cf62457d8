from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.bundles import MOST, bundled, unbundled
from wire.exceptions import ProtocolError
from wire.generated import remote_inference_pb2 as pb

SHAPES = st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(0, 1), st.booleans(), st.integers(0, 1))


@st.composite
def pictures(draw: st.DrawFn) -> list[pb.Planes]:
    number, found = 0, []
    for level, first, top_k, last, coded in draw(st.lists(SHAPES, max_size=40)):
        number = max(1, number + draw(st.integers(-1, 3)))
        planes = draw(st.binary(min_size=1, max_size=5))
        found.append(
            pb.Planes(
                picture_id=number,
                level=level,
                first_plane=first,
                top_k=top_k,
                last=last,
                coded=coded,
                planes=planes,
            )
        )
    return found


@given(pictures(), st.integers(1, 20))
def test_what_goes_into_bundles_comes_out_in_order(planes: list[pb.Planes], most: int) -> None:
    out: list[pb.Planes] = []
    for message, inside in bundled(planes, most):
        assert 1 <= len(inside) <= most
        if message.HasField("bundle"):
            assert len(inside) > 1
            out += unbundled(pb.StreamRequest.FromString(message.SerializeToString()).bundle)
        else:
            out.append(message.planes)
    assert out == planes


def test_golden_bytes() -> None:
    three = [pb.Planes(picture_id=n, level=2, first_plane=1, planes=bytes([n])) for n in (5, 6, 9)]
    ((message, _),) = bundled(three)
    assert message.SerializeToString().hex() == "3214" + "0a0b0805100218012203050609" + "120101" + "1a020103"


def test_eight_pictures_in_a_bundle_take_little_more_than_their_planes() -> None:
    eight = [pb.Planes(picture_id=n, level=1, first_plane=1, planes=bytes(64)) for n in range(1000, 1008)]
    ((message, inside),) = bundled(eight)
    assert len(inside) == 8
    assert message.ByteSize() <= 8 * 64 + 20


def test_pictures_that_are_given_up_are_named_once() -> None:
    two = [pb.Planes(picture_id=n, level=1, first_plane=1, planes=b"x", given_up=[n - 5]) for n in (8, 9)]
    ((message, _),) = bundled(two)
    assert list(message.bundle.shared.given_up) == [3, 4]


WRONG: list[tuple[int, list[int], list[int]]] = [
    (0, [], []),
    (0, [0], []),
    (3, [2], []),
    (3, [1, 1], []),
    (3, [1, 2, 0], []),
    (3, [1], [1]),
    (3, [1, 1, 1], [1, 1, 1]),
    (MOST + 1, [1], []),
    (10**6, [1], []),
    (4, [2**32 - 1, 5], []),
]


@pytest.mark.parametrize("payload,lengths,steps", WRONG)
def test_bundles_that_are_none(payload: int, lengths: list[int], steps: list[int]) -> None:
    bundle = pb.Bundle(shared=pb.Planes(picture_id=1, planes=bytes(payload)), lengths=lengths, steps=steps)
    with pytest.raises(ProtocolError, match="A bundle has 1 to 256 planes"):
        list(unbundled(bundle))
