"""Payloads in each coding: a model, a point or a run of planes, whether they are packed; then their bytes.

What is read are indices of this point, and writing and reading them again gives the same ones.
"""

from __future__ import annotations

import numpy as np

from tests import tiny
from tests.fuzz import Cursor
from tests.fuzz.entropy import coder_of
from tests.wire.manifests import chained, manifest_of
from wire.exceptions import PointError, ProtocolError
from wire.folded import read_folded
from wire.payload import PayloadCodec

REFINABLE = chained((1, 1), tiny.CHAIN, positions=5, largest=16, coded=True)
NESTED = manifest_of((2,), tiny.NESTED, positions=5, largest=16, coded=True)
SIZES = ((3, 1), (3, 3), (5, 3), (11, 7), (8, 8), (40, 25), (300, 150))
ANY_SIZE = manifest_of((1, 1), SIZES, positions=5, largest=300, any_size=True)
FOLDED = manifest_of((1, 1), SIZES, positions=5, largest=300, any_size=True, coded=True)
FOLDED_BYTES = np.arange(2 * 300 * 3, 0, -1).astype("<u2").tobytes()
CODECS = (
    PayloadCodec(REFINABLE, coder_of(REFINABLE)),
    PayloadCodec(NESTED, coder_of(NESTED)),
    PayloadCodec(ANY_SIZE),
    PayloadCodec(REFINABLE),
    PayloadCodec(FOLDED, read_folded(FOLDED_BYTES, FOLDED)),
)


def check(data: bytes) -> None:
    given = Cursor(data)
    codec = CODECS[given.number() % len(CODECS)]
    packed, point, first, count = bool(given.number() & 1), given.number(), given.number(), given.number()
    if first:
        _check_run(codec, given.rest(), packed, first, count)
    else:
        _check_block(codec, given.rest(), packed, point)


def _check_block(codec: PayloadCodec, data: bytes, packed: bool, point: int) -> None:
    try:
        indices = codec.read_block(data, packed, point)
    except (PointError, ProtocolError):
        return
    assert indices.shape == (codec.manifest.sub_vectors,)
    assert (indices >= 0).all() and (indices < codec.sub_vector_sizes(point)).all()
    assert np.array_equal(codec.read_block(*codec.write_block(indices, point), point), indices)


def _check_run(codec: PayloadCodec, data: bytes, packed: bool, first: int, count: int) -> None:
    manifest = codec.manifest
    before = np.zeros(manifest.sub_vectors, np.int32)
    try:
        indices = codec.read_run(data, packed, before, first, count)
    except (PointError, ProtocolError):
        return
    point = manifest.chain[first + count - 2]
    assert (indices >= 0).all() and (indices < codec.sub_vector_sizes(point)).all()
    missing = (codec.depths[manifest.chain[-1] - 1] - codec.depths[point - 1])[codec._segment]
    again = codec.write_run(indices << missing, first, count)
    assert np.array_equal(codec.read_run(*again, before, first, count), indices)
