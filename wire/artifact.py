"""The artifact: one folder that holds a trained model for both halves, and nothing that runs code."""

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
from wire.manifest import FORMAT_VERSION, MANIFEST, Manifest, fingerprint_of, parse_manifest, sha256


@dataclass(frozen=True)
class Artifact:
    """A checked artifact: its manifest, and the folder that holds its files."""

    folder: Path
    manifest: Manifest

    def path(self, file: str) -> Path:
        """The path of one of its files, for example `ENCODER`."""
        return self.folder / file


def load_artifact(folder: str | Path, *, edge: bool = False) -> Artifact:
    """Opens an artifact and checks every hash, or with `edge` those of the files that an edge needs.

    Raises:
        ArtifactError: if a file is missing or changed, or the format version is not ours.
    """
    folder = Path(folder)
    try:
        text = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise ArtifactError(f"{folder} is not an artifact: {MANIFEST} cannot be read ({error.strerror}).") from error
    manifest = parse_manifest(text, str(folder / MANIFEST))
    for name in manifest.edge_files if edge else manifest.files:
        check_file(manifest, name, _read(folder / name))
    return Artifact(folder, manifest)


def check_file(manifest: Manifest, name: str, data: bytes) -> bytes:
    """Returns the data of a file of the artifact.

    Raises:
        ArtifactError: if its hash is not the manifest's.
    """
    if manifest.files.get(name) != sha256(data):
        raise ArtifactError(f"{name} of the model {manifest.name} is damaged; fetch or export the model again.")
    return data


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"The artifact lacks {path} ({error.strerror}); fetch or export the model again."
        ) from error


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
    scratch: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        scratch.chmod(0o755)
        for name, data in {**files, MANIFEST: text.encode()}.items():
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
    return Artifact(folder, manifest)
