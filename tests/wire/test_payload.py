"""Payloads of every kind of point, in every coding, as bytes and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire.manifests import chained, manifest_of
from wire.entropy import LEAST, UNIT, WORD_BITS, EntropyCoder
from wire.exceptions import PointError, ProtocolError
from wire.manifest import Manifest, block_bytes
from wire.payload import Indices, PayloadCodec


def coder_of(manifest: Manifest, tables: int, seed: int = 5) -> EntropyCoder:
    shape = (tables, manifest.latent.groups, 255)
    return EntropyCoder(
        np.random.default_rng(seed).integers(LEAST, UNIT - LEAST, shape, np.uint16), manifest.sub_vectors
    )


def random_indices(codec: PayloadCodec, point: int, seed: int = 0) -> Indices:
    sizes = codec.sub_vector_sizes(point)
    return np.random.default_rng(seed).integers(0, sizes, dtype=np.int32)


@pytest.mark.parametrize("positions", [1, 5, 64])
def test_every_size_takes_what_the_manifest_says_and_comes_back(positions: int) -> None:
    sizes = sorted(range(2, 1025), key=lambda k: block_bytes([2 * positions], [k]))
    manifest = manifest_of([2], [[k] for k in sizes], positions=positions, largest=1024, any_size=True)
    codec = PayloadCodec(manifest)
    for number in range(1, len(manifest.points) + 1):
        indices = random_indices(codec, number)
        data, packed = codec.write_block(indices, number)
        assert (len(data), packed) == (manifest.point(number).payload_bytes, False)
        assert np.array_equal(codec.read_block(data, packed, number), indices)


@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=5),
    st.integers(1, 70),
    st.booleans(),
    st.booleans(),
    st.data(),
)
@settings(deadline=None, max_examples=200)
def test_mixed_sizes_come_back(
    segments: list[int], positions: int, any_size: bool, coded: bool, data: st.DataObject
) -> None:
    size = st.integers(1, 1024) if any_size else st.sampled_from([2**l for l in range(9)])
    sizes = data.draw(st.lists(size, min_size=len(segments), max_size=len(segments)).filter(lambda k: max(k) > 1))
    manifest = manifest_of(segments, [sizes], positions=positions, largest=1024, any_size=any_size, coded=coded)
    bits = all(k & (k - 1) == 0 and k <= 256 for k in sizes)
    codec = PayloadCodec(manifest, coder_of(manifest, 8) if coded and bits else None)
    indices = random_indices(codec, 1)
    payload, packed = codec.write_block(indices, 1)
    assert len(payload) <= manifest.point(1).payload_bytes
    if packed or not coded:
        assert len(payload) == manifest.point(1).payload_bytes
    assert np.array_equal(codec.read_block(payload, packed, 1), indices)


CHAINS = st.integers(1, 4).flatmap(
    lambda s: st.tuples(
        st.lists(st.integers(1, 2), min_size=s, max_size=s),
        st.permutations([n for n in range(s) for _ in range(3)]),
    )
)


@given(CHAINS, st.integers(1, 70), st.booleans(), st.data())
@settings(deadline=None, max_examples=200)
def test_planes_in_any_runs_come_back_and_every_prefix_is_a_point(
    chain: tuple[list[int], list[int]], positions: int, coded: bool, data: st.DataObject
) -> None:
    segments, order = chain
    manifest = chained(segments, [[s] for s in order], positions=positions, coded=coded)
    codec = PayloadCodec(manifest, coder_of(manifest, 1) if coded else None)
    indices, known, first = random_indices(codec, manifest.chain[-1]), np.zeros(manifest.sub_vectors, np.int32), 1
    while first <= len(order):
        count = data.draw(st.integers(1, len(order) + 1 - first))
        payload, packed = codec.write_run(indices, first, count)
        known = codec.read_run(payload, packed, known, first, count)
        point = manifest.chain[first + count - 2]
        assert np.array_equal(known, codec.at_point(indices, point))
        block = codec.write_block(known, point)
        assert np.array_equal(codec.read_block(*block, point), known)
        first += count


@given(CHAINS, st.integers(1, 70), st.integers(0, 9))
@settings(deadline=None)
def test_what_points_will_take_is_known_before(chain: tuple[list[int], list[int]], positions: int, seed: int) -> None:
    segments, order = chain
    manifest = chained(segments, [[s] for s in order], positions=positions, coded=True)
    codec = PayloadCodec(manifest, coder_of(manifest, 1))
    indices = random_indices(codec, manifest.chain[-1], seed)
    costs = codec.costs(indices)
    assert costs.shape == (len(manifest.points),)
    for number, cost in enumerate(costs, 1):
        payload, _ = codec.write_block(codec.at_point(indices, number), number)
        assert 0 <= len(payload) - cost <= WORD_BITS / 8 + 1


def test_golden_bytes() -> None:
    """The example of remote_inference.proto, three bits, mixed sizes, and a chain; these must never change."""
    ten = PayloadCodec(manifest_of([1], [[2]], positions=10))
    assert ten.write_block(np.array([1, 0, 1, 1, 0, 0, 1, 1, 1, 0], np.int32), 1) == (bytes.fromhex("b380"), False)
    nine = PayloadCodec(manifest_of([1], [[8]], positions=9))
    assert nine.write_block(np.array([0, 1, 2, 3, 4, 5, 6, 7, 5], np.int32), 1)[0].hex() == "0f8033005580"
    mixed = PayloadCodec(manifest_of([1, 1, 1], [[4, 1, 2]], positions=4))
    # Plane 1 holds the high bits of segment 0 and the bits of segment 2, in turn; plane 2 the low bits of segment 0.
    indices = np.array([3, 0, 1, 2, 0, 0, 1, 0, 1, 0, 0, 0], np.int32)
    assert mixed.write_block(indices, 1)[0].hex() == f"{0b11100100:02x}{0b10100000:02x}"
    chain = PayloadCodec(chained([1, 1], [[0], [1], [0], [1]], positions=4))
    pairs = np.array([3, 1, 0, 2, 1, 3, 2, 0], np.int32)
    assert chain.write_run(pairs, 1, 4)[0].hex() == "9060a0a0"
    assert chain.write_run(pairs, 2, 2)[0].hex() == "60a0"


def test_a_byte_short_or_long_in_each_coding_is_refused() -> None:
    bits = PayloadCodec(manifest_of([1, 1], [[4, 8]]))
    number = PayloadCodec(manifest_of([1, 1], [[3, 5]], any_size=True))
    tables = manifest_of([1, 1], [[256, 256]], positions=64, coded=True)
    tabled = PayloadCodec(tables, EntropyCoder(np.full((8, 2, 255), LEAST, np.uint16), 128))
    for codec in (bits, number, tabled):
        indices = np.zeros(codec.manifest.sub_vectors, np.int32)
        data, packed = codec.write_block(indices, 1)
        for wrong in (b"", data[:-1], data + b"\1", data + b"\1\2\3\4" * 2):
            with pytest.raises(ProtocolError, match="payload"):
                codec.read_block(wrong, packed, 1)
        assert np.array_equal(codec.read_block(data, packed, 1), indices)


@pytest.mark.parametrize("kind", ["bits", "number", "coded"])
def test_many_are_read_at_once_each_as_if_alone(kind: str) -> None:
    coded = kind == "coded"
    sizes = [3, 5] if kind == "number" else [8, 4]
    manifest = manifest_of([1, 1], [sizes], positions=65, any_size=kind == "number", coded=coded)
    codec = PayloadCodec(manifest, coder_of(manifest, 8) if coded else None)
    indices = [random_indices(codec, 1, seed) for seed in range(5)]
    good = [codec.write_block(one, 1) for one in indices]
    bad = (good[0][0] + bytes(8), good[0][1])
    found = codec.read_blocks([*good[:2], bad, *good[2:], (b"", good[0][1])], 1)
    assert [type(one) for one in found] == [np.ndarray, np.ndarray, ProtocolError, *[np.ndarray] * 3, ProtocolError]
    assert np.array_equal([one for one in found if isinstance(one, np.ndarray)], indices)


def test_packed_and_coded_payloads_come_together() -> None:
    manifest = chained([1, 1], [[0], [1], [0], [1]], positions=16, coded=True)
    codec, packs = PayloadCodec(manifest, coder_of(manifest, 1)), PayloadCodec(manifest)
    indices = np.stack([random_indices(codec, manifest.chain[-1], seed) for seed in range(4)])
    first = [codec.at_point(one, manifest.chain[1]) for one in indices]
    bits, depth = codec._run(3, 2), codec.depths[manifest.chain[-1] - 1][codec._segment]
    prefix = indices[:, bits.where] >> (depth[bits.where] - bits.bit)
    assert codec._bits is not None
    strings = [codec._bits.encode(one & 1, bits.where, bits.bit, one >> 1, 0) for one in prefix]
    runs = [
        (strings[0], False),
        packs.write_run(indices[1], 3, 2),
        (strings[2], False),
        packs.write_run(indices[3], 3, 2),
    ]
    assert np.array_equal(codec.read_runs(runs, np.stack(first), 3, 2), indices)


def test_what_is_shorter_packed_is_sent_packed() -> None:
    manifest = manifest_of([1], [[2]], positions=8, coded=True)
    likely = PayloadCodec(manifest, EntropyCoder(np.full((8, 1, 255), UNIT // 2, np.uint16), 8))
    assert likely.write_block(np.zeros(8, np.int32), 1) == (b"\0", True)


def test_without_the_coder_packed_payloads_are_read_and_coded_ones_refused() -> None:
    manifest = manifest_of([1], [[2]], positions=8, coded=True)
    codec = PayloadCodec(manifest)
    assert codec.write_block(np.ones(8, np.int32), 1) == (b"\xff", True)
    with pytest.raises(ProtocolError, match="send them with `packed`"):
        codec.read_block(b"\xff", False, 1)


def test_runs_that_are_none() -> None:
    codec = PayloadCodec(chained([1], [[0], [0]]))
    nothing = np.zeros(4, np.int32)
    for first, count in ((0, 1), (1, 0), (1, 3), (3, 1)):
        with pytest.raises(ProtocolError, match="do not exist; the chain has 2"):
            codec.read_run(b"\0", True, nothing, first, count)
    whole = PayloadCodec(manifest_of([1], [[2]]))
    with pytest.raises(PointError, match="is not refinable"):
        whole.read_run(b"\0", True, nothing, 1, 1)


@given(st.binary(max_size=200))
@settings(deadline=None, max_examples=300)
def test_strange_bytes_are_refused_or_read_as_indices(payload: bytes) -> None:
    manifest = manifest_of([4], [[8]], positions=64, coded=True)
    codec = PayloadCodec(manifest, coder_of(manifest, 8))
    try:
        indices = codec.read_block(payload, False, 1)
    except ProtocolError as error:
        assert "payload" in str(error)
    else:
        assert indices.min() >= 0 and indices.max() < 8
