import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.exceptions import ProtocolError
from wire.mixed_radix import from_number, radix_bytes, to_number


@pytest.mark.parametrize("sub_vectors", [1, 7, 512])
def test_every_size_takes_the_fewest_whole_bytes_and_comes_back(sub_vectors: int) -> None:
    random = np.random.default_rng(sub_vectors)
    for size in range(1, 1025):
        sizes = [size] * sub_vectors
        for indices in (random.integers(0, size, sub_vectors).tolist(), [size - 1] * sub_vectors):
            data = to_number(indices, sizes)
            assert len(data) == -(-((size**sub_vectors - 1).bit_length()) // 8)
            assert from_number(data, sizes) == indices


@given(st.lists(st.tuples(st.integers(1, 1024), st.integers(0, 1023)), max_size=200))
def test_mixed_sizes_come_back(pairs: list[tuple[int, int]]) -> None:
    sizes, indices = [size for size, _ in pairs], [index % size for size, index in pairs]
    assert from_number(to_number(indices, sizes), sizes) == indices


def test_golden_bytes() -> None:
    """The example of remote_inference.proto, and one of three bytes; these must never change."""
    assert to_number([2, 4], [3, 5]) == bytes.fromhex("0e")
    assert to_number([9, 0, 511, 6, 1], [10, 1, 1000, 7, 2]) == bytes.fromhex("02082f")


def test_a_byte_short_or_long_and_numbers_too_large_are_refused() -> None:
    sizes = [3, 5, 7]
    assert radix_bytes(105) == 1
    for wrong, said in ((b"", "has 0 bytes; this point takes 1"), (b"\0\0", "has 2 bytes"), (b"\x69", "too large")):
        with pytest.raises(ProtocolError, match=said):
            from_number(wrong, sizes)
    assert from_number(b"\x68", sizes) == [2, 4, 6]
