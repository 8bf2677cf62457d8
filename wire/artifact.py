"""The artifact: one folder that holds a trained model for both halves, and nothing that runs code."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wire.bitplanes import plane_bytes
from wire.exceptions import ArtifactError, LevelError

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
ENCODER = "encoder.onnx"
DECODER = "decoder.onnx"
TORCH_DECODER = "decoder.pt2"
TABLES = "entropy.u16"
"""Probabilities of the bits, where the planes are entropy-coded (`wire.entropy`)."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Preprocessing(_Strict):
    """How a picture becomes the encoder's input; everything after that is inside encoder.onnx."""

    size: int = Field(ge=1, le=4096)
    colour: Literal["RGB"] = "RGB"
    resize: Literal["shorter side, bilinear, antialiased, centre crop"] = (
        "shorter side, bilinear, antialiased, centre crop"
    )


class LevelFigures(_Strict):
    """What a level costs and gives, on the whole test set, through the exported parts."""

    level: int = Field(ge=1, le=8)
    payload_bytes: float
    """The mean of what is sent: less than the packed planes where they are entropy-coded."""
    top1: float = Field(ge=0, le=1)
    temperature: float = Field(1.0, gt=0)
    """Divides the logits, so that of the answers at p % sure about p % are right (Guo et al. 2017)."""


class CodecFigures(_Strict):
    """What the picture costs and gives as a WebP file, with both halves on the server, on the whole test set."""

    side: int = Field(ge=1, le=4096)
    quality: int = Field(ge=0, le=100)
    payload_bytes: float
    top1: float = Field(ge=0, le=1)


class Manifest(_Strict):
    """manifest.json. `fingerprint` is the SHA-256 of all the rest, so it names the model."""

    format_version: int
    name: str
    profile: str
    family: str
    prefix_consistent: bool
    """Whether the first l planes of a higher level are the encoding at level l."""
    dataset: str
    d: int
    sub_vectors: int = Field(ge=1)
    max_level: int = Field(ge=1, le=8)
    latent_shape: tuple[int, int, int]
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    unquantised_top1: float = Field(ge=0, le=1)
    levels: tuple[LevelFigures, ...] = Field(min_length=1)
    codec: tuple[CodecFigures, ...] = ()
    recipe: dict[str, Any]
    files: dict[str, str]
    """SHA-256 of every other file, by name."""
    fingerprint: str

    @property
    def plane_bytes(self) -> int:
        """Bytes of one bit-plane of one picture."""
        return plane_bytes(self.sub_vectors)

    @property
    def level_numbers(self) -> tuple[int, ...]:
        """The levels this model can be asked for, lowest first."""
        return tuple(figures.level for figures in self.levels)

    @property
    def edge_files(self) -> tuple[str, ...]:
        """The files that an edge needs."""
        return (ENCODER, TABLES) if TABLES in self.files else (ENCODER,)

    @property
    def channel_groups(self) -> int:
        """Sub-vectors at one position of the latent."""
        return self.latent_shape[0] // self.d

    def check_level(self, level: int) -> int:
        """Returns the level.

        Raises:
            LevelError: if the model does not have it.
        """
        if level not in self.level_numbers:
            known = ", ".join(map(str, self.level_numbers))
            raise LevelError(f"Level {level} does not exist; this model has level {known}.")
        return level


@dataclass(frozen=True)
class Artifact:
    """A checked artifact: its manifest, and the folder that holds its files."""

    folder: Path
    manifest: Manifest

    def path(self, file: str) -> Path:
        """The path of one of its files, for example `ENCODER`."""
        return self.folder / file


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def fingerprint_of(values: Mapping[str, Any]) -> str:
    """SHA-256 over the canonical JSON of a manifest without its fingerprint."""
    rest = {k: v for k, v in values.items() if k != "fingerprint"}
    return sha256(json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode())


def parse_manifest(text: str | bytes, where: str) -> Manifest:
    """Reads and checks manifest.json; `where` names it in errors.

    Raises:
        ArtifactError: if it is no manifest, of a version we do not read, or was changed.
    """
    try:
        values = json.loads(text)
        version = values["format_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{where} is not a manifest of artoveq; export the model again.") from error
    if version != FORMAT_VERSION:
        raise ArtifactError(
            f"{where} has format version {version}, and this artoveq reads version {FORMAT_VERSION}; "
            "install a newer artoveq, or export the model again."
        )
    try:
        manifest = Manifest.model_validate(values)
    except ValidationError as error:
        keys = ", ".join(".".join(map(str, e["loc"])) for e in error.errors())
        raise ArtifactError(f"{where} has missing or wrong values ({keys}); export the model again.") from error
    if fingerprint_of(values) != manifest.fingerprint:
        raise ArtifactError(f"{where} was changed after it was made; fetch or export the model again.")
    return manifest


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
