"""The artifact: one folder that holds a trained model for both halves, and nothing that runs code.

Whoever made it, the folder is trusted with nothing: files are plain, of bounded size and inside it, have the hashes
that the manifest names, and graphs and programs hold what they may (`wire.graphs`, `wire.programs`), before anything
else reads them.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wire.exceptions import ArtifactError
from wire.files import plain_file
from wire.graphs import check_graph
from wire.manifest import DECODER, FORMAT_VERSION, INT8_DECODER, MANIFEST, TABLES, TORCH_DECODER, Manifest
from wire.manifest_json import MANIFEST_BYTES, fingerprint_of, parse_manifest, sha256
from wire.programs import clean_program

FILE_BYTES = (1 << 31) - 1
"""Largest file of an artifact: protobuf, and so ONNX, ends there."""
CARD, SIGNATURE, SIGNER = "README.md", "model.sig", "signer.pem"
"""Files that may lie beside those of the manifest: the card, a signature of the manifest, and the key to check it."""
BESIDE_BYTES = 1 << 17
"""Largest of those."""
TABLES_BYTES = 1 << 24
"""Largest `TABLES`: they take eight times as much in memory."""


@dataclass(frozen=True)
class Artifact:
    """A checked artifact: its manifest, and the folder that holds its files."""

    folder: Path
    manifest: Manifest

    def path(self, file: str) -> Path:
        """The path of one of its files, for example `ENCODER`. To open it, take `read`."""
        return self.folder / file

    def has(self, file: str) -> bool:
        """Whether the model has this file, and the folder, too."""
        return file in self.manifest.files and os.path.lexists(self.path(file))

    def read(self, file: str) -> bytes:
        """One of its files, checked: what is opened is what was looked at, whoever writes into the folder.

        Raises:
            ArtifactError: as `load_artifact`.
        """
        return check_file(self.manifest, file, read_file(self.folder, file))


def load_artifact(folder: str | Path, *, edge: bool = False) -> Artifact:
    """Opens an artifact and checks every file, or with `edge` those that an edge needs.

    A decoder may be missing: a folder need not hold those for runtimes that are not used where it lies.

    Raises:
        ArtifactError: if a file is missing, changed, or not one to be trusted, or the format version is not ours.
    """
    folder = Path(folder)
    artifact = Artifact(folder, parse_manifest(read_file(folder, MANIFEST), str(folder / MANIFEST)))
    for name in artifact.manifest.edge_files if edge else artifact.manifest.files:
        if name not in (DECODER, TORCH_DECODER, INT8_DECODER) or artifact.has(name):
            artifact.read(name)
    return artifact


def check_file(manifest: Manifest, name: str, data: bytes) -> bytes:
    """Returns the data of a file of the artifact, as it may be opened: a program written anew.

    Raises:
        ArtifactError: if its hash is not the manifest's, or it is a graph or a program that is not to be opened.
    """
    if manifest.files.get(name) != sha256(data):
        raise ArtifactError(f"{name} of the model {manifest.name} is damaged; fetch or export the model again.")
    where = f"{name} of the model {manifest.name}"
    if name.endswith(".onnx"):
        check_graph(data, where)
    if name.endswith(".pt2"):
        return clean_program(data, where)
    return data


def largest(name: str) -> int:
    """Bytes that a file of this name may have."""
    beside = dict.fromkeys((CARD, SIGNATURE, SIGNER), BESIDE_BYTES)
    return {MANIFEST: MANIFEST_BYTES, TABLES: TABLES_BYTES, **beside}.get(name, FILE_BYTES)


def read_file(folder: Path, name: str) -> bytes:
    """A plain file of the folder.

    Raises:
        ArtifactError: if it is not there, is none (a pipe, a device), lies elsewhere, or is too large.
    """
    path, limit = folder / name, largest(name)
    try:
        target = path.resolve(strict=True)
        if not target.is_relative_to(folder.resolve()):
            raise ArtifactError(f"{path} lies outside the artifact, at {target}; copy the file itself into the folder.")
        with plain_file(target, os.O_NOFOLLOW) as found:
            if found is None:
                raise ArtifactError(f"{path} is not a plain file; fetch or export the model again.")
            file, size = found
            data = file.read(min(limit, size) + 1)
    except (OSError, RuntimeError) as error:  # a loop of links is a RuntimeError before Python 3.13
        why = f"{name} cannot be read ({getattr(error, 'strerror', None) or error})"
        raise ArtifactError(f"{folder} is not an artifact: {why}; fetch or export the model again.") from error
    if len(data) > limit:
        raise ArtifactError(f"{path} has more bytes than the {limit:,} that it may have; export the model again.")
    return data


def values_of(manifest: Manifest) -> dict[str, Any]:
    """What `write_artifact` is given of a manifest that was read."""
    return manifest.model_dump(mode="json", exclude={"format_version", "files", "fingerprint"}, exclude_unset=True)


def write_artifact(folder: Path, values: Mapping[str, Any], files: Mapping[str, bytes]) -> Artifact:
    """Writes a whole artifact or nothing: an artifact that is there stays whole until the new one is.

    values: the manifest without `format_version`, `files` and `fingerprint`.

    Raises:
        ArtifactError: if it cannot be written, for example because the disk is full.
    """
    body = {"format_version": FORMAT_VERSION, **values, "files": {name: sha256(data) for name, data in files.items()}}
    body = json.loads(json.dumps(body))
    text = json.dumps({**body, "fingerprint": fingerprint_of(body)}, indent=1, ensure_ascii=False) + "\n"
    manifest = parse_manifest(text, str(folder / MANIFEST))
    replace_folder(folder, {**files, MANIFEST: text.encode()})
    return Artifact(folder, manifest)


def replace_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes an artifact's files into a folder that takes the place of the one that is there.

    Raises:
        ArtifactError: if it cannot be written; what was there stays.
    """
    scratch: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        scratch.chmod(0o755)
        for name, data in files.items():
            (scratch / name).write_bytes(data)
        if folder.exists():
            old = scratch.with_name(scratch.name + "-old")
            os.replace(folder, old)
            os.replace(scratch, folder)
            shutil.rmtree(old)
        else:
            os.replace(scratch, folder)
    except OSError as error:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
        raise ArtifactError(
            f"The artifact {folder} could not be written ({error.strerror}); free some space."
        ) from error
