import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wire.bitplanes import pack_planes, plane_bytes, unpack_planes
from wire.exceptions import ProtocolError


def random_indices(m: int, level: int) -> np.ndarray:
    return np.random.default_rng(m * 9 + level).integers(0, 2**level, m, dtype=np.uint8)


def test_round_trip_for_every_number_of_sub_vectors() -> None:
    for m in range(1, 4098):
        level = 1 + m % 8
        indices = random_indices(m, level)
        planes = pack_planes(indices, level)
        assert [len(plane) for plane in planes] == [plane_bytes(m)] * level
        assert np.array_equal(unpack_planes(planes, m), indices)


@given(st.integers(1, 4097), st.integers(1, 8), st.data())
@settings(deadline=None)
def test_a_prefix_of_the_planes_is_the_index_without_its_last_bits(m: int, level: int, data: st.DataObject) -> None:
    fewer = data.draw(st.integers(1, level))
    indices = random_indices(m, level)
    assert np.array_equal(unpack_planes(pack_planes(indices, level)[:fewer], m), indices >> (level - fewer))


def test_golden_bytes() -> None:
    """The example of remote_inference.proto, and three-bit indices; these bytes must never change."""
    assert pack_planes(np.array([1, 0, 1, 1, 0, 0, 1, 1, 1, 0], np.uint8), 1) == [bytes.fromhex("b380")]
    indices = np.array([0, 1, 2, 3, 4, 5, 6, 7, 5], np.uint8)
    assert pack_planes(indices, 3) == [bytes.fromhex(h) for h in ("0f80", "3300", "5580")]


@pytest.mark.parametrize(
    ("planes", "said"),
    [([], "1 to 8 planes"), ([b"\0"] * 9, "1 to 8 planes"), ([b"\0\0", b"\0"], "Plane 2 has 1 bytes")],
)
def test_wrong_planes_are_refused(planes: list[bytes], said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        unpack_planes(planes, 10)
