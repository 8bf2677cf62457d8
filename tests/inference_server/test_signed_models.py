"""A server that wants signatures, and an edge that learns from it who signs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_client import Client
from tests import tiny
from tests.inference_server.serving import serving
from tests.wire.test_signatures import make_key
from wire.cache import cache_folder
from wire.exceptions import SignatureError
from wire.signatures import sign


def test_what_is_signed_is_served_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTOVEQ_CACHE", str(tmp_path / "cache"))
    artifact, (private, public) = tiny.progressive(tmp_path / "model"), make_key(tmp_path, "ours")
    with pytest.raises(SignatureError, match="is not signed"), serving(artifact.folder, require_signature=public):
        pass
    signer = sign(artifact, private)
    with serving(artifact.folder, require_signature=public) as server, Client(server.address) as client:
        assert client.encoder.manifest == artifact.manifest
    (remembered,) = (cache_folder() / "signers").iterdir()
    assert json.loads(remembered.read_bytes())["signer"] == signer
    _, other = make_key(tmp_path, "theirs")
    refused = pytest.raises(SignatureError, match="not signed with this key")
    with refused, serving(artifact.folder, require_signature=other):
        pass
