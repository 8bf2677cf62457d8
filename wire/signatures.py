"""Signatures of models, as OpenSSF's model-signing makes them with a key.

What is signed is the manifest, which has every other file's hash: so an edge, which has a part of them, can check it.
"""

from __future__ import annotations

import base64
import json
import tempfile
from pathlib import Path

from wire.artifact import SIGNATURE, SIGNER, Artifact, read_file
from wire.exceptions import ArtifactError, SignatureError
from wire.files import replace_synced
from wire.manifest import MANIFEST
from wire.manifest_json import parse_manifest, sha256

MISSING = "Signatures want a package more; run `pip install 'artoveq[signing]'`."
CURVES = "an elliptic curve (P-256, P-384 or P-521)"


def sign(artifact: Artifact, key: Path) -> str:
    """Signs a model with a private key (PEM), and puts signature and public key into its folder; returns the signer.

    Raises:
        SignatureError: if it is no such key, or the folder cannot be written.
    """
    try:
        from cryptography.hazmat.primitives import serialization
        from model_signing.signing import Config
    except ModuleNotFoundError:
        raise SignatureError(MISSING) from None
    manifest = _manifest(artifact)
    try:
        private = serialization.load_pem_private_key(key.read_bytes(), None)
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        public = private.public_key().public_bytes(serialization.Encoding.PEM, form)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / MANIFEST).write_bytes(manifest)
            Config().use_elliptic_key_signer(private_key=key).sign(Path(folder) / MANIFEST, Path(folder) / SIGNATURE)
            signature = (Path(folder) / SIGNATURE).read_bytes()
    except Exception:  # whatever it says may be about the key
        raise SignatureError(
            f"{key} is no private key of {CURVES} without a password; make one with `openssl ecparam -name prime256v1 "
            "-genkey -noout -out key.pem`."
        ) from None
    signer = signer_of(manifest, signature, public)
    try:
        replace_synced(artifact.path(SIGNER), public)
        replace_synced(artifact.path(SIGNATURE), signature)
    except OSError as error:
        raise SignatureError(f"{artifact.folder} cannot be written ({error.strerror}); sign a copy of it.") from error
    return signer


def check_signed(artifact: Artifact, key: Path) -> str:
    """Who has signed the model: whoever has the private key of this public one (PEM). As `signer_of`.

    Raises:
        SignatureError: if it is signed by nobody, or by another key, or the key cannot be read.
    """
    try:
        public = key.read_bytes()
    except OSError as error:
        raise SignatureError(f"The key {key} cannot be read ({error.strerror}); name a file of PEM.") from error
    try:
        signature = read_file(artifact.folder, SIGNATURE)
    except ArtifactError:
        raise SignatureError(
            f"The model {artifact.manifest.name} in {artifact.folder} is not signed; say `artoveq sign`, or take one "
            "that is."
        ) from None
    return signer_of(_manifest(artifact), signature, public)


def signer_of(manifest: bytes, signature: bytes, public: bytes) -> str:
    """The SHA-256 of the public key (PEM), where the signature of a manifest was made with its private one.

    Raises:
        SignatureError: if it was not.
    """
    try:
        from model_signing.verifying import Config
    except ModuleNotFoundError:
        raise SignatureError(MISSING) from None
    try:
        values = json.loads(signature)
        signer = str(values["verificationMaterial"]["publicKey"]["hint"])
        (signed,) = json.loads(base64.b64decode(values["dsseEnvelope"]["payload"]))["predicate"]["resources"]
        if (signed["algorithm"], signed["digest"]) != ("sha256", sha256(manifest)):
            raise SignatureError("The signature is of another model; sign this one.")
        with tempfile.TemporaryDirectory() as folder:
            for name, data in {MANIFEST: manifest, SIGNATURE: signature, SIGNER: public}.items():
                (Path(folder) / name).write_bytes(data)
            verifier = Config().use_elliptic_key_verifier(public_key=Path(folder) / SIGNER)
            verifier.verify(Path(folder) / MANIFEST, Path(folder) / SIGNATURE)
    except SignatureError:
        raise
    except Exception:  # of a stranger's file: whatever is wrong with it, it is none
        raise SignatureError(
            f"The model is not signed with this key, or the key is none of {CURVES}; take the key of whom you trust, "
            "or a model that was signed with it."
        ) from None
    return signer


def _manifest(artifact: Artifact) -> bytes:
    """The bytes that the artifact was read from."""
    data = read_file(artifact.folder, MANIFEST)
    if parse_manifest(data, str(artifact.path(MANIFEST))).fingerprint != artifact.manifest.fingerprint:
        raise ArtifactError(f"{artifact.folder} has changed meanwhile; try again.")
    return data
