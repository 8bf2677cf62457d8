from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_server.streams.accumulator import PlaneAccumulator
from inference_server.unread import read
from tests import tiny
from tests.wire.manifests import chained, manifest_of
from wire.exceptions import PointError, ProtocolError
from wire.payload import PayloadCodec

REFINABLE = chained((1, 1), tiny.CHAIN, positions=5, largest=16)
CODEC = PayloadCodec(REFINABLE)
NESTED = PayloadCodec(manifest_of((2,), [(2,), (4,)], positions=5))


@given(st.integers(1, 8), st.integers(0, 1000), st.data())
def test_planes_in_any_runs_add_up(target: int, seed: int, data: st.DataObject) -> None:
    indices = np.random.default_rng(seed).integers(0, 16, 10, dtype=np.int32)
    arrived = PlaneAccumulator(CODEC, target, by_planes=True)
    while not arrived.closed:
        first = arrived.planes + 1
        count = data.draw(st.integers(1, target - arrived.planes))
        arrived.add_planes(*CODEC.write_run(indices, first, count), first, count)
        assert arrived.planes == first - 1 + count and arrived.point == REFINABLE.chain[arrived.planes - 1]
        assert np.array_equal(*read([arrived.newest]), CODEC.at_point(indices, arrived.point))
    assert arrived.point == target


def test_a_block_is_all() -> None:
    arrived = PlaneAccumulator(NESTED, 2, by_planes=False)
    indices = np.arange(10, dtype=np.int32) % 4
    arrived.add_block(*NESTED.write_block(indices, 2))
    assert arrived.closed and arrived.point == 2 and np.array_equal(*read([arrived.newest]), indices)
    with pytest.raises(ProtocolError, match="A block came where nothing was due"):
        arrived.add_block(*NESTED.write_block(indices, 2))
    with pytest.raises(ProtocolError, match="Plane 1 came where nothing was due"):
        arrived.add_planes(b"", True, 1, 1)


@pytest.mark.parametrize(
    ("data", "first", "count", "said"),
    [
        (bytes(2), 3, 2, "Plane 3 came where plane 2 was due"),
        (bytes(2), 1, 2, "Plane 1 came where plane 2 was due"),
        (bytes(9), 2, 8, "8 planes came where 1 to 5 were due; point 6 has 6 in all"),
        (b"", 2, 0, "0 planes came where"),
        (bytes(1), 2, 2, "has 1 bytes; packed, these 2 planes take 2"),
    ],
)
def test_wrong_runs_are_refused_and_change_nothing(data: bytes, first: int, count: int, said: str) -> None:
    arrived = PlaneAccumulator(CODEC, 6, by_planes=True)
    arrived.add_planes(b"\xf8", True, 1, 1)
    with pytest.raises(ProtocolError, match=said):
        arrived.add_planes(data, True, first, count)
    assert (arrived.planes, arrived.point, arrived.closed) == (1, 1, False)
    with pytest.raises(ProtocolError, match="A block came where plane 2 was due"):
        arrived.add_block(data, True)


def test_what_the_model_lacks_is_refused_at_once() -> None:
    for codec, point, by_planes, said in (
        (CODEC, 9, True, "Point 9 does not exist"),
        (CODEC, 0, False, "Point 0 does not exist"),
        (NESTED, 1, True, "is not refinable"),
    ):
        with pytest.raises(PointError, match=said):
            PlaneAccumulator(codec, point, by_planes=by_planes)
