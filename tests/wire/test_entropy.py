import numpy as np
from numpy.typing import NDArray

from tests.wire.manifests import chained, manifest_of
from wire.entropy import LEAST, UNIT, EntropyCoder, count_tables
from wire.payload import PayloadCodec

GROUPS = 4


def skewed(m: int, level: int, seed: int) -> NDArray[np.int32]:
    """Indices whose bits are predictable in part."""
    return np.random.default_rng(seed).binomial(2**level - 1, 0.3, m).astype(np.int32)


def test_counted_tables_come_near_the_entropy() -> None:
    indices = np.stack([skewed(512, 6, seed) for seed in range(200)])
    manifest = chained([GROUPS], [[0]] * 6, positions=128, coded=True)
    codec = PayloadCodec(manifest, EntropyCoder(count_tables({6: indices[:100]}, GROUPS), 512))
    used = np.bincount(indices.ravel(), minlength=64) / indices.size
    entropy = -(used[used > 0] * np.log2(used[used > 0])).sum() * 512 / 8
    sizes = [len(codec.write_block(one, 6)[0]) for one in indices[100:]]
    assert entropy <= np.mean(sizes) <= 1.05 * entropy + 4
    assert np.mean(sizes) < 0.7 * 6 * 64


def test_each_level_has_its_table_where_levels_are_no_prefixes() -> None:
    tables = count_tables({level: skewed(512, level, level)[None] for level in range(1, 9)}, GROUPS)
    assert tables.shape == (8, GROUPS, 255)
    assert tables.min() >= LEAST and tables.max() <= UNIT - LEAST
    manifest = manifest_of([GROUPS], [[8]], positions=128, coded=True)
    own, other = (PayloadCodec(manifest, EntropyCoder(t, 512)) for t in (tables, tables[[0, 1, 4, 4, 4, 5, 6, 7]]))
    indices = skewed(512, 3, 3)
    assert len(own.write_block(indices, 1)[0]) < len(other.write_block(indices, 1)[0])


def test_golden_bytes() -> None:
    """These bytes must never change: an edge and a server of different releases speak to each other."""
    tables = np.full((1, 2, 255), UNIT // 2, np.uint16)
    tables[0, 0, 0], tables[0, 1, 1:3] = 60000, (1000, 50000)
    coder, where = EntropyCoder(tables, 10), np.tile(np.arange(10), 2)
    indices, bit = np.array([2, 0, 3, 3, 2, 1, 2, 0, 3, 2], np.int32), np.repeat([1, 2], 10)
    prefix = np.concatenate([indices >> 1, indices])
    assert coder.encode(prefix & 1, where, bit, prefix >> 1, 0).hex() == GOLDEN
    decoder = coder.decoder([bytes.fromhex(GOLDEN)])
    first = decoder.bits(where[:10], bit[:10], np.zeros((1, 10), int), 0)
    assert np.array_equal(2 * first + decoder.bits(where[:10], bit[10:], first, 0), indices[None])
    decoder.end()
    assert not decoder.faults


GOLDEN = "9109ea63"
