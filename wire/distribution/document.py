"""The OCI manifest of a model: which files there are, how large, and with which digests."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wire.artifact import CARD, SIGNATURE, SIGNER, largest
from wire.exceptions import ArtifactError
from wire.manifest import MANIFEST, Manifest

MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json"
MODEL = "application/vnd.artoveq.model.v1"
LAYER = f"{MODEL}.file"
CONFIG = "config"
"""An empty one: OCI wants it."""
TITLE = "org.opencontainers.image.title"
BESIDE = (MANIFEST, CARD, SIGNATURE, SIGNER)
"""Files that no model's manifest lists."""
DOCUMENT_BYTES, MOST_FILES = 1 << 18, 68


@dataclass(frozen=True)
class File:
    """A file of a model: the SHA-256 of its bytes, as hexadecimal digits, and how many there are."""

    digest: str
    size: int

    def as_layer(self, media_type: str = LAYER, **annotations: str) -> dict[str, Any]:
        """As OCI describes it."""
        described = {"mediaType": media_type, "digest": f"sha256:{self.digest}", "size": self.size}
        return {**described, "annotations": annotations} if annotations else described


def document(model: Manifest, files: Mapping[str, File], config: File) -> bytes:
    """The OCI manifest of these files, by name: the same bytes whenever it is made."""
    values = {
        "schemaVersion": 2,
        "mediaType": MEDIA_TYPE,
        "artifactType": MODEL,
        "config": config.as_layer(f"{MODEL}.config+json"),
        "layers": [file.as_layer(**{TITLE: name}) for name, file in files.items()],
        "annotations": {TITLE: model.name, "artoveq.fingerprint": model.fingerprint},
    }
    return json.dumps(values, separators=(",", ":")).encode()


def files_in(data: bytes, where: str, most_bytes: int) -> dict[str, File]:
    """The files that an OCI manifest lists, by name; `where` names it in errors.

    most_bytes: that all of them may have.

    Raises:
        ArtifactError: if it is no model's, or they are too many, or too large.
    """
    try:
        values = json.loads(data)
        if values["config"]["mediaType"] != f"{MODEL}.config+json":
            raise ArtifactError(f"{where} is no model of artoveq; take an address that `artoveq push` gave.")
        layers = [(one["annotations"][TITLE], _file(one)) for one in values["layers"]]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise ArtifactError(f"{where} has no list of files that makes sense; push the model again.") from None
    files = dict(layers)
    if MANIFEST not in files or not len(files) == len(layers) <= MOST_FILES or not all(map(_plain, files)):
        raise ArtifactError(f"{where} does not hold the files of a model, each one once; push the model again.")
    for name, file in files.items():
        if file.size > largest(name):
            raise ArtifactError(f"{name} of {where} has {file.size:,} bytes, and {largest(name):,} are taken at most.")
    total = sum(file.size for file in files.values())
    if total > most_bytes:
        raise ArtifactError(f"{where} has {total:,} bytes; set ARTOVEQ_CACHE_BYTES, now {most_bytes:,}, to more.")
    return files


def check_files(files: Mapping[str, File], model: Manifest, where: str) -> None:
    """Raises ArtifactError where files beside the model's manifest are others than that names."""
    for name, file in files.items():
        if name not in BESIDE and model.files.get(name) != file.digest:
            raise ArtifactError(f"{name} of {where} is not the file that its model has; push the model again.")


def _plain(name: Any) -> bool:
    return isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name) is not None


def _file(layer: Any) -> File:
    size, match = layer["size"], re.fullmatch(r"sha256:([0-9a-f]{64})", layer["digest"])
    if match is None or type(size) is not int or size < 0:
        raise ValueError
    return File(match[1], size)
