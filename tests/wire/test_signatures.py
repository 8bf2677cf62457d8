"""Signatures of models: one key's and no other's, of this model and no other."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny
from wire.artifact import SIGNATURE, SIGNER, Artifact, load_artifact
from wire.exceptions import SignatureError
from wire.manifest import MANIFEST
from wire.signatures import check_signed, sign

NO_KEY = "is no private key of an elliptic curve"


def make_key(folder: Path, name: str, curve: str = "prime256v1") -> tuple[Path, Path]:
    """A private key and its public one, as the documentation has openssl make them."""
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    make = ["openssl", "ecparam", "-name", curve, "-genkey", "-noout", "-out", str(private)]
    subprocess.run(make, check=True, capture_output=True)
    public.touch()
    show = ["openssl", "ec", "-in", str(private), "-pubout", "-out", str(public)]
    subprocess.run(show, check=True, capture_output=True)
    return private, public


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return tiny.progressive(tmp_path / "model")


def test_one_key_s_signature_and_no_other_s(artifact: Artifact, tmp_path: Path) -> None:
    (ours, public), (theirs, other) = make_key(tmp_path, "ours"), make_key(tmp_path, "theirs", "secp384r1")
    with pytest.raises(SignatureError, match="is not signed; say `artoveq sign`"):
        check_signed(artifact, public)
    signer = sign(artifact, ours)
    assert check_signed(load_artifact(artifact.folder), public) == signer and len(signer) == 64
    assert artifact.path(SIGNER).read_bytes() == public.read_bytes()
    with pytest.raises(SignatureError, match="is not signed with this key"):
        check_signed(artifact, other)
    assert sign(artifact, theirs) == check_signed(artifact, other) != signer
    with pytest.raises(SignatureError, match="cannot be read"):
        check_signed(artifact, tmp_path / "nothing")


@pytest.mark.slow  # it starts a process
def test_it_is_one_that_model_signing_s_own_command_takes(artifact: Artifact, tmp_path: Path) -> None:
    private, public = make_key(tmp_path, "ours")
    sign(artifact, private)
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(artifact.path(MANIFEST))]
    options = ["--signature", str(artifact.path(SIGNATURE)), "--public_key", str(public)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_another_model_s_signature_is_none_of_this_one(artifact: Artifact, tmp_path: Path) -> None:
    private, public = make_key(tmp_path, "ours")
    other = tiny.nested(tmp_path / "other")
    sign(other, private)
    artifact.path(SIGNATURE).write_bytes(other.path(SIGNATURE).read_bytes())
    with pytest.raises(SignatureError, match="is of another model"):
        check_signed(artifact, public)


def test_whatever_is_no_signature_is_a_sentence(artifact: Artifact, tmp_path: Path) -> None:
    private, public = make_key(tmp_path, "ours")
    sign(artifact, private)
    values = json.loads(artifact.path(SIGNATURE).read_bytes())
    payload = json.loads(base64.b64decode(values["dsseEnvelope"]["payload"]))
    payload["predicate"]["serialization"]["ignore_paths"].append("manifest.json")
    changed = {**values["dsseEnvelope"], "payload": base64.b64encode(json.dumps(payload).encode()).decode()}
    for text in (
        json.dumps({**values, "dsseEnvelope": changed}),
        json.dumps({**values, "dsseEnvelope": {**values["dsseEnvelope"], "signatures": []}}),
        json.dumps({**values, "verificationMaterial": {"publicKey": {}, "tlogEntries": []}}),
        json.dumps({**values, "mediaType": "x"}),
        "[" * 10000,
        "{}",
        "",
    ):
        artifact.path(SIGNATURE).write_text(text)
        with pytest.raises(SignatureError, match="is not signed with this key"):
            check_signed(artifact, public)
    public.write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    with pytest.raises(SignatureError, match="the key is none of an elliptic curve"):
        check_signed(artifact, public)


def test_what_cannot_sign_says_how_a_key_is_made_and_shows_nothing_of_it(artifact: Artifact, tmp_path: Path) -> None:
    private, _ = make_key(tmp_path, "ours", "secp256k1")
    with pytest.raises(SignatureError, match=NO_KEY):
        sign(artifact, private)
    private.write_text("s3cret")
    with pytest.raises(SignatureError, match=NO_KEY) as refused:
        sign(artifact, private)
    assert "s3cret" not in str(refused.value) and not artifact.path(SIGNATURE).exists()


def test_without_the_extra_it_says_what_to_install(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = make_key(tmp_path, "ours")
    sign(artifact, private)
    for module in [name for name in sys.modules if name.startswith("model_signing")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "model_signing", None)
    for work in (lambda: sign(artifact, private), lambda: check_signed(artifact, public)):
        with pytest.raises(SignatureError, match=r"pip install 'artoveq\[signing\]'"):
            work()
    assert os.path.lexists(artifact.path(SIGNATURE))
