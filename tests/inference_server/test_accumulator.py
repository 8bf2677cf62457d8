import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_server.received import Received
from wire.bitplanes import pack_planes
from wire.exceptions import ProtocolError


@given(st.integers(1, 300), st.integers(1, 8), st.data())
def test_packed_planes_in_any_portions_add_up(m: int, level: int, data: st.DataObject) -> None:
    indices = np.random.default_rng(m).integers(0, 2**level, m, dtype=np.uint8)
    planes, received = pack_planes(indices, level), Received(level, m)
    while received.planes < level:
        last = data.draw(st.integers(received.planes + 1, level))
        received = received.add(b"".join(planes[received.planes : last]), 0, None)
        assert np.array_equal(received.indices, indices >> np.uint8(level - last))


@pytest.mark.parametrize(
    ("payload", "coded", "said"),
    [
        (bytes(63), 0, "63 bytes are not whole planes"),
        (b"", 0, "0 bytes are not whole planes"),
        (bytes(320), 0, "320 bytes are not whole planes of this picture .4 more"),
        (bytes(8), 5, "5 coded planes are not whole planes"),
        (bytes(8), 1, "reads packed planes alone"),
    ],
)
def test_wrong_portions_are_refused(payload: bytes, coded: int, said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        Received(4, 512).add(payload, coded, None)
