import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wire.bitplanes import Indices
from wire.entropy import LEAST, UNIT, WORD_BITS, EntropyCoder, count_tables
from wire.exceptions import ProtocolError

GROUPS = 4


def skewed(m: int, level: int, seed: int) -> Indices:
    """Indices whose bits are predictable in part."""
    return np.random.default_rng(seed).binomial(2**level - 1, 0.3, m).astype(np.uint8)


def coder(m: int, levels: int = 1) -> EntropyCoder:
    return EntropyCoder(np.random.default_rng(5).integers(LEAST, UNIT - LEAST, (levels, GROUPS, 255), np.uint16), m)


@given(st.integers(1, 1025), st.integers(1, 8), st.integers(0, 99), st.data())
@settings(deadline=None, max_examples=200)
def test_planes_in_any_portions_come_back(m: int, level: int, seed: int, data: st.DataObject) -> None:
    indices, one = skewed(m, level, seed), coder(m, data.draw(st.sampled_from([1, 8])))
    known, first = np.zeros(m, np.uint8), 1
    while first <= level:
        last = data.draw(st.integers(first, level))
        payload = one.encode(indices, level, first, last)
        known = one.decode(payload, level, known, first, last)
        assert np.array_equal(known, indices >> (level - last))
        first = last + 1


@given(st.integers(1, 1025), st.integers(1, 8), st.integers(0, 99), st.data())
@settings(deadline=None)
def test_what_planes_will_take_is_known_before(m: int, level: int, seed: int, data: st.DataObject) -> None:
    indices, one = skewed(m, level, seed), coder(m, data.draw(st.sampled_from([1, 8])))
    costs, last = one.costs(indices, level), data.draw(st.integers(1, level))
    assert 0 < 8 * len(one.encode(indices, level, 1, last)) - sum(costs[:last]) <= WORD_BITS


def test_counted_tables_come_near_the_entropy() -> None:
    indices = np.stack([skewed(512, 6, seed) for seed in range(200)])
    counted = EntropyCoder(count_tables({6: indices[:100]}, GROUPS), 512)
    used = np.bincount(indices.ravel(), minlength=64) / indices.size
    entropy = -(used[used > 0] * np.log2(used[used > 0])).sum() * 512 / 8
    sizes = [len(counted.encode(one, 6, 1, 6)) for one in indices[100:]]
    assert entropy <= np.mean(sizes) <= 1.05 * entropy + 4
    assert np.mean(sizes) < 0.7 * 6 * 64


def test_each_level_has_its_table_where_levels_are_no_prefixes() -> None:
    tables = count_tables({level: skewed(512, level, level)[None] for level in range(1, 9)}, GROUPS)
    assert tables.shape == (8, GROUPS, 255)
    assert tables.min() >= LEAST and tables.max() <= UNIT - LEAST
    one = EntropyCoder(tables, 512)
    assert one.encode(skewed(512, 3, 3), 3, 1, 3) != EntropyCoder(tables[:1], 512).encode(skewed(512, 3, 3), 3, 1, 3)


def test_golden_bytes() -> None:
    """These bytes must never change: an edge and a server of different releases speak to each other."""
    tables = np.full((1, 2, 255), UNIT // 2, np.uint16)
    tables[0, 0, 0], tables[0, 1, 1:3] = 60000, (1000, 50000)
    indices = np.array([2, 0, 3, 3, 2, 1, 2, 0, 3, 2], np.uint8)
    assert EntropyCoder(tables, 10).encode(indices, 2, 1, 2).hex() == GOLDEN
    assert np.array_equal(EntropyCoder(tables, 10).decode(bytes.fromhex(GOLDEN), 2, indices * 0, 1, 2), indices)


GOLDEN = "9109ea63"


@given(st.binary(max_size=200))
@settings(deadline=None, max_examples=300)
def test_strange_bytes_are_refused_or_read_as_indices(payload: bytes) -> None:
    try:
        indices = coder(256).decode(payload, 3, np.zeros(256, np.uint8), 1, 3)
    except ProtocolError as error:
        assert "planes" in str(error)
    else:
        assert indices.max() < 8


def test_what_is_no_string_of_the_code_is_refused() -> None:
    one, indices = coder(512), skewed(512, 4, 0)
    payload, nothing = one.encode(indices, 4, 1, 4), np.zeros(512, np.uint8)
    for wrong in (b"", payload[:-1], payload + b"\x01\x02\x03\x04" * 2):
        with pytest.raises(ProtocolError):
            one.decode(wrong, 4, nothing, 1, 4)
