"""Entropy coding at any size, from one table of counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.wire.manifests import manifest_of
from wire.exceptions import ArtifactError, ProtocolError
from wire.folded import MOST_FOLDED, UNIT, FoldedCoder, fold, folded_bytes, intervals, read_folded
from wire.payload import PayloadCodec

LARGEST, GROUPS = 1024, 2


def drawn(seed: int, largest: int = LARGEST, groups: int = GROUPS) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """Rows (G, L, 2) at random, some of them alike, and counts (G, L), few of them large."""
    random = np.random.default_rng(seed)
    rows = random.integers(0, 1 << random.integers(2, 17), (groups, largest, 2)).astype(np.uint16)
    return rows, 1 + (65534 * random.random((groups, largest)) ** 30).astype(np.int64)


def one_by_one(rows: NDArray[np.uint16], counts: NDArray[np.int64], size: int) -> list[int]:
    """As the definition has it, in Python's integers."""
    left, points = counts.tolist()[:size], rows.tolist()
    for row in range(size, len(points)):
        far = [sum((a - b) ** 2 for a, b in zip(points[row], other, strict=True)) for other in points[:size]]
        left[far.index(min(far))] += int(counts[row])
    return left


@given(st.integers(0, 99), st.integers(2, 100), st.data())
@settings(deadline=None)
def test_later_rows_fold_into_the_nearest(seed: int, largest: int, data: st.DataObject) -> None:
    (rows,), (counts,) = drawn(seed, largest, 1)
    size = data.draw(st.integers(1, largest))
    assert fold(rows, counts, size).tolist() == one_by_one(rows, counts, size)


@given(st.lists(st.integers(0, 1 << 32), min_size=2, max_size=300).filter(any))
def test_every_symbol_has_its_share_of_the_coders_range_and_never_none(counts: list[int]) -> None:
    begins = intervals(np.array(counts))
    widths = np.diff(begins)
    assert begins[0] == 0 and begins[-1] == UNIT and widths.min() >= 1
    shares = np.array(counts) / sum(counts)
    assert np.abs(widths / UNIT - shares).max() <= (len(counts) + 2) / UNIT


@given(st.integers(2, LARGEST), st.integers(1, LARGEST), st.integers(1, 70), st.integers(0, 9))
@settings(deadline=None, max_examples=200)
def test_every_size_comes_back(size: int, other: int, positions: int, seed: int) -> None:
    manifest = manifest_of([1, 1], [[size, other]], positions=positions, largest=LARGEST, any_size=True, coded=True)
    codec, again = (PayloadCodec(manifest, FoldedCoder(*drawn(seed))) for _ in range(2))
    indices = np.random.default_rng(seed).integers(0, codec.sub_vector_sizes(1), dtype=np.int32)
    data, packed = codec.write_block(indices, 1)
    assert (data, packed) == again.write_block(indices, 1) and len(data) <= manifest.point(1).payload_bytes
    assert np.array_equal(codec.read_block(data, packed, 1), indices)
    coded = FoldedCoder(*drawn(seed)).encode(indices, np.array([size, other]))
    assert np.array_equal(codec.read_block(coded, False, 1), indices)


def test_a_string_takes_what_its_counts_promise() -> None:
    """Indices drawn from the folded counts cost their entropy, and what the last word rounds."""
    rows, counts = drawn(3, groups=1)
    coder, random = FoldedCoder(rows, counts), np.random.default_rng(0)
    for size in (2, 3, 10, 37, 100, 257, 1000):
        shares = fold(rows[0], counts[0], size) / counts.sum()
        indices = random.choice(size, 4000, p=shares).astype(np.int32)
        bits = -np.log2(shares[indices]).sum()
        assert 0 <= len(coder.encode(indices, np.array([size]))) - bits / 8 <= 8 + 0.001 * bits / 8


def test_golden_bytes() -> None:
    """These bytes must never change: an edge and a server of different releases speak to each other."""
    rows, counts = np.array([[[0], [9], [4], [8]]] * 2, np.uint16), np.array([[5, 3, 4, 2], [1, 1, 60000, 9]])
    assert fold(rows[0], counts[0], 3).tolist() == [5, 5, 4]
    assert intervals(np.array([5, 5, 4])).tolist() == [0, 5991862, 11983725, 16777216]
    coder, sizes = FoldedCoder(rows, counts), np.array([3, 4])
    indices = np.array([0, 2, 2, 2, 1, 2, 0, 2, 1, 3, 2, 2, 0, 2], np.int32)
    assert coder.encode(indices, sizes).hex() == GOLDEN
    assert np.array_equal(coder.decode(bytes.fromhex(GOLDEN), sizes, 7), indices)


GOLDEN = "b7fecb4c"


def test_where_it_is_longer_a_block_is_packed() -> None:
    manifest = manifest_of([1], [[3]], positions=8, largest=4, any_size=True, coded=True)
    codec = PayloadCodec(manifest, FoldedCoder(np.zeros((1, 4, 2), np.uint16), np.array([[60000, 1, 1, 1]])))
    often, seldom = np.zeros(400, np.int32)[:8], np.full(8, 2, np.int32)
    for indices in (often, seldom):  # a word has four bytes, a number of eight digits two
        data, packed = codec.write_block(indices, 1)
        assert packed and len(data) == 2 and np.array_equal(codec.read_block(data, packed, 1), indices)


@given(st.binary(max_size=80))
@settings(deadline=None, max_examples=300)
def test_strange_bytes_are_refused_or_read_as_indices(payload: bytes) -> None:
    manifest = manifest_of([1, 1], [[5, 300]], positions=9, largest=LARGEST, any_size=True, coded=True)
    codec = PayloadCodec(manifest, FoldedCoder(*drawn(1)))
    try:
        indices = codec.read_block(payload, False, 1)
    except ProtocolError as error:
        assert "payload" in str(error)
    else:
        assert indices.min() >= 0 and (indices < codec.sub_vector_sizes(1)).all()


def test_without_the_coder_strings_are_refused() -> None:
    manifest = manifest_of([1, 1], [[4, 4], [5, 3]], largest=8, any_size=True, coded=True)
    for point in (1, 2):
        with pytest.raises(ProtocolError, match="send them with `packed`"):
            PayloadCodec(manifest).read_block(bytes(4), False, point)


@pytest.mark.parametrize("fault", ["short", "long", "no count", "many rows"])
def test_a_file_that_is_no_table_of_the_model_is_refused(fault: str) -> None:
    largest = MOST_FOLDED + 1 if fault == "many rows" else 8
    manifest = manifest_of([1, 1], [[3, 3]], largest=largest, any_size=True, coded=True)
    counts, rows = np.ones((2, largest), np.uint16), np.zeros((2, largest, 2), np.uint16)
    if fault != "many rows":
        read_folded(folded_bytes(counts, rows), manifest)
    counts[1, 7] = fault != "no count"
    data = folded_bytes(counts, rows)
    with pytest.raises(ArtifactError, match="is not a table of it; export the model again"):
        read_folded({"short": data[:-1], "long": data + bytes(2)}.get(fault, data), manifest)
