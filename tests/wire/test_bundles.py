from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.bundles import MOST, MOST_BYTES, bundled, unbundled
from wire.exceptions import ProtocolError
from wire.generated import remote_inference_pb2 as pb

SHAPES = st.tuples(st.integers(1, 2), st.integers(0, 1), st.integers(0, 1), st.booleans(), st.booleans())


@st.composite
def pictures(draw: st.DrawFn) -> list[pb.Payload]:
    number, found = 0, []
    for point, first, top_k, last, packed in draw(st.lists(SHAPES, max_size=40)):
        number = max(1, number + draw(st.integers(-1, 3)))
        data = draw(st.binary(min_size=1, max_size=5))
        found.append(
            pb.Payload(
                picture_id=number,
                point=point,
                first_plane=first,
                plane_count=first,
                top_k=top_k,
                last=last,
                packed=packed,
                data=data,
            )
        )
    return found


@given(pictures(), st.integers(1, 20))
def test_what_goes_into_bundles_comes_out_in_order(planes: list[pb.Payload], most: int) -> None:
    out: list[pb.Payload] = []
    for message, inside in bundled(planes, most):
        assert 1 <= len(inside) <= most
        if message.HasField("bundle"):
            assert len(inside) > 1
            out += unbundled(pb.StreamRequest.FromString(message.SerializeToString()).bundle)
        else:
            out.append(message.payload)
    assert out == planes


def test_golden_bytes() -> None:
    three = [pb.Payload(picture_id=n, point=2, data=bytes([n])) for n in (5, 6, 9)]
    ((message, _),) = bundled(three)
    assert message.SerializeToString().hex() == "3212" + "0a0908051002" + "2a03050609" + "120101" + "1a020103"


def test_eight_pictures_in_a_bundle_take_little_more_than_their_payloads() -> None:
    eight = [pb.Payload(picture_id=n, point=1, data=bytes(64)) for n in range(1000, 1008)]
    ((message, inside),) = bundled(eight)
    assert len(inside) == 8
    assert message.ByteSize() <= 8 * 64 + 20


def test_a_bundle_is_no_larger_than_a_server_takes() -> None:
    large = [pb.Payload(picture_id=n, point=1, data=bytes(MOST_BYTES // 3)) for n in range(1, 8)]
    assert [len(inside) for _, inside in bundled(large)] == [3, 3, 1]


def test_pictures_that_are_given_up_are_named_once() -> None:
    two = [pb.Payload(picture_id=n, point=1, data=b"x", given_up=[n - 5]) for n in (8, 9)]
    ((message, _),) = bundled(two)
    assert list(message.bundle.shared.given_up) == [3, 4]
    first, second = unbundled(message.bundle)
    assert (list(first.given_up), list(second.given_up)) == ([3, 4], [])


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
    bundle = pb.PayloadBundle(shared=pb.Payload(picture_id=1, data=bytes(payload)), lengths=lengths, steps=steps)
    with pytest.raises(ProtocolError, match="A bundle has 1 to 256 payloads"):
        list(unbundled(bundle))
