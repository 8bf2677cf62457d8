"""Who signs a server's models: taken at first sight, kept, and told about when it changes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from edge_client import Client
from tests import tiny
from tests.edge_client.hostile import Hostile, serving, whole
from tests.wire.test_signatures import make_key
from wire.artifact import SIGNATURE, SIGNER, Artifact
from wire.cache import cache_folder
from wire.exceptions import SignatureError
from wire.manifest import MANIFEST
from wire.signatures import sign


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTOVEQ_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def hostile() -> Hostile:
    return Hostile(b"", {})


def serve(hostile: Hostile, artifact: Artifact) -> None:
    """It serves this from now on, with the signature that is in the folder."""
    hostile.manifest = artifact.path(MANIFEST).read_bytes()
    names = [*artifact.manifest.edge_files, *(n for n in (SIGNATURE, SIGNER) if artifact.path(n).exists())]
    hostile.files = {name: whole(artifact.path(name).read_bytes()) for name in names}


def met(address: str, fingerprint: str = "") -> str:
    """An edge that starts; the fingerprint of what it took."""
    with Client(address, fingerprint=fingerprint) as client:
        return client.encoder.manifest.fingerprint


def test_a_change_of_signer_is_refused_until_a_person_says_otherwise(hostile: Hostile, tmp_path: Path) -> None:
    models = [make(tmp_path / make.__name__) for make in (tiny.progressive, tiny.nested, tiny.any_size)]
    (ours, _), (theirs, _) = make_key(tmp_path, "ours"), make_key(tmp_path, "theirs")
    with serving(hostile) as address:
        serve(hostile, models[0])
        assert met(address) == models[0].manifest.fingerprint  # nobody signs, and nobody is remembered
        signer = sign(models[1], ours)
        serve(hostile, models[1])
        assert met(address) == met(address) == models[1].manifest.fingerprint

        serve(hostile, models[2])
        with pytest.raises(SignatureError, match=f"that nobody has signed, and its models were signed by {signer}"):
            met(address)
        other = sign(models[2], theirs)
        serve(hostile, models[2])
        with pytest.raises(SignatureError, match=f"is signed by {other}, .* were signed by {signer}. Ask") as refused:
            met(address)
        assert not (cache_folder() / models[2].manifest.fingerprint).exists()  # nothing of it was kept
        assert met(address, models[2].manifest.fingerprint)  # whoever names a model trusts that one

        (remembered,) = (cache_folder() / "signers").iterdir()
        assert str(remembered) in str(refused.value)
        remembered.unlink()
        assert met(address) == models[2].manifest.fingerprint
        serve(hostile, models[1])
        with pytest.raises(SignatureError, match="were signed by"):
            met(address)


def test_a_signature_that_is_none_is_refused_at_first_sight(hostile: Hostile, tmp_path: Path) -> None:
    artifact, other = tiny.progressive(tmp_path / "model"), tiny.nested(tmp_path / "other")
    sign(other, make_key(tmp_path, "ours")[0])
    for name in (SIGNATURE, SIGNER):
        artifact.path(name).write_bytes(other.path(name).read_bytes())
    serve(hostile, artifact)
    with serving(hostile) as address, pytest.raises(SignatureError, match="is of another model"):
        met(address)
    assert not list((cache_folder()).glob("signers/*"))


def test_an_edge_that_cannot_check_goes_on_until_it_has_known_a_signer(
    hostile: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, find = tiny.progressive(tmp_path / "model"), importlib.util.find_spec
    sign(artifact, make_key(tmp_path, "ours")[0])
    serve(hostile, artifact)

    def missing(name: str, *more: str) -> object:
        return None if name == "model_signing" else find(name, *more)

    with serving(hostile) as address:
        with monkeypatch.context() as patch:
            patch.setattr(importlib.util, "find_spec", missing)
            assert met(address) and not (cache_folder() / "signers").exists()
        assert met(address)
        (remembered,) = (cache_folder() / "signers").iterdir()
        remembered.write_text("{")
        with pytest.raises(SignatureError, match="mend it, or delete it"):
            met(address)
