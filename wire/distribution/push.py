"""A model to a registry: its files first, where they are not there, and the list of them last."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from wire.artifact import CARD, SIGNATURE, SIGNER, load_artifact, read_file
from wire.distribution.address import Address
from wire.distribution.document import CONFIG, MEDIA_TYPE, File, document
from wire.distribution.registry import Registry, again, sentences
from wire.exceptions import RegistryError, UsageError
from wire.manifest import MANIFEST, Manifest
from wire.manifest_json import sha256

PUSH_S = 1800.0
"""How long a model may take."""


def push(folder: Path, address: Address, card: Callable[[Manifest], str]) -> Address:
    """Puts a model at an address, with its signature where it has one; returns where it is by digest.

    card: the model's, where the folder has none.

    Raises:
        UsageError: if the address has a digest, which comes from what is pushed.
        ArtifactError: if the folder holds no whole model.
        RegistryError: if the registry does not take it; what was at the address is still there.
    """
    if address.digest:
        raise UsageError(f"A model is pushed to a tag; write oci://{address.host}/{address.name}:TAG.")
    artifact = load_artifact(folder)
    names = [MANIFEST, *filter(artifact.has, artifact.manifest.files)]
    names += [name for name in (CARD, SIGNATURE, SIGNER) if (folder / name).exists()]
    with tempfile.TemporaryDirectory() as made, sentences(address), Registry(address, PUSH_S) as registry:
        (Path(made) / CONFIG).write_bytes(b"{}")
        files = {name: _upload(registry, folder, name) for name in names}
        if CARD not in files:
            (Path(made) / CARD).write_text(card(artifact.manifest), encoding="utf-8")
            files[CARD] = _upload(registry, Path(made), CARD)
        listed = document(artifact.manifest, files, _upload(registry, Path(made), CONFIG))
        url = f"{registry.prefix}://{registry.container.manifest_url()}"
        said = again(lambda: registry.do_request(url, "PUT", data=listed, headers={"Content-Type": MEDIA_TYPE}))
        digest = sha256(listed)
        if said.headers.get("Docker-Content-Digest", f"sha256:{digest}") != f"sha256:{digest}":
            raise RegistryError(f"{address.host} has kept something else than {address}; push it again.")
        return replace(address, digest=digest)


def _upload(registry: Registry, folder: Path, name: str) -> File:
    data = read_file(folder, name)
    file = File(sha256(data), len(data))
    again(lambda: registry.upload_blob(str(folder / name), registry.container, file.as_layer()))
    return file
