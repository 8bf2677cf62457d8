"""manifest.json, as it comes and with the fingerprint that belongs to it: a model that can be used, or a sentence."""

from __future__ import annotations

import json

import numpy as np

from tests.wire.manifests import signed
from wire.exceptions import ArtifactError
from wire.manifest import Manifest
from wire.manifest_json import parse_manifest
from wire.payload import PayloadCodec


def check(data: bytes) -> None:
    _parsed(data)
    try:
        values = json.loads(data)
        text = json.dumps(signed(values))
    except Exception:  # not ours: what cannot be signed
        return
    manifest = _parsed(text.encode())
    if manifest is None:
        return
    assert json.loads(manifest.model_dump_json())["fingerprint"] == manifest.fingerprint
    assert all(manifest.point(number) for number in (1, len(manifest.points), *manifest.chain))
    assert all(manifest.point_of_level(level) == number for level, number in manifest.levels.items())
    assert manifest.edge_files
    codec = PayloadCodec(manifest)
    for point in {1, len(manifest.points), manifest.point_within(100)}:
        nothing = np.zeros(manifest.sub_vectors, np.int32)
        block = codec.write_block(nothing, point)
        assert len(block[0]) == manifest.point(point).payload_bytes
        assert np.array_equal(codec.read_block(*block, point), nothing)


def _parsed(text: bytes) -> Manifest | None:
    try:
        return parse_manifest(text, "a manifest")
    except ArtifactError:
        return None
