"""Entropy-coded strings, with tables that are a stranger's, too: whether there are any, the tables, then the string.

What is read are bits, and coding them again gives the same ones. What they cost is a number.
"""

from __future__ import annotations

import numpy as np

from tests.fuzz import Cursor
from tests.wire.manifests import chained
from wire.entropy import LEAST, NODES, UNIT, EntropyCoder, read_tables
from wire.exceptions import ArtifactError, ProtocolError
from wire.manifest import Manifest

POSITIONS, GROUPS, DEPTH = 3, 2, 4
REFINABLE = chained((GROUPS,), [(0,)] * DEPTH, positions=POSITIONS, largest=2**DEPTH, coded=True)
SUB_VECTORS = REFINABLE.sub_vectors


def table_bytes(manifest: Manifest, seed: int = 0) -> bytes:
    """Tables of this model, at random."""
    levels = 1 if manifest.refinable else (manifest.largest_size - 1).bit_length()
    random = np.random.default_rng(seed)
    return random.integers(LEAST, UNIT - LEAST, (levels, manifest.latent.groups, NODES)).astype("<u2").tobytes()


def coder_of(manifest: Manifest) -> EntropyCoder:
    return EntropyCoder(read_tables(table_bytes(manifest), manifest), manifest.sub_vectors)


ORDINARY = table_bytes(REFINABLE)


def check(data: bytes) -> None:
    given = Cursor(data)
    try:
        tables = read_tables(given.take(len(ORDINARY)) if given.number() & 1 else ORDINARY, REFINABLE)
    except ArtifactError:
        return
    coder = EntropyCoder(tables, SUB_VECTORS)
    where = np.arange(SUB_VECTORS)
    found, steps = np.zeros((1, SUB_VECTORS), np.int32), []
    try:
        decoder = coder.decoder([given.rest()])
        for plane in range(1, DEPTH + 1):
            bit = np.full(SUB_VECTORS, plane, np.int32)
            bits = decoder.bits(where, bit, found, 0)
            steps.append((bits, bit, found))
            found = found * 2 + bits
        decoder.end()
    except ProtocolError:
        return
    if decoder.faults:
        return
    assert (found >= 0).all() and (found < 2**DEPTH).all()
    bits, bit, before = (np.concatenate([*map(np.ravel, part)]) for part in zip(*steps, strict=True))
    again = coder.encode(bits, np.tile(where, DEPTH), bit, before, 0)
    decoder = coder.decoder([again])
    assert all(np.array_equal(decoder.bits(where, of, known, 0), bits) for bits, of, known in steps)
    decoder.end()
    assert not decoder.faults
    costs = coder.costs(found[0], np.full(SUB_VECTORS, DEPTH), DEPTH)
    assert np.isfinite(costs).all() and (costs >= 0).all()
    assert 8 * len(again) <= costs.sum() + 36 + 32  # the coder's last word
