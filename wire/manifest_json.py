"""manifest.json as text: read within bounds, checked, and known by its fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import rfc8785
from pydantic import ValidationError

from wire.exceptions import ArtifactError
from wire.manifest import FORMAT_VERSION, Manifest

MANIFEST_BYTES = 1 << 21
"""Largest manifest.json."""
MOST_DEPTH, MOST_VALUES = 16, 1 << 18
"""Of the JSON in it: lists and objects in one another, and values in all."""


def sha256(data: bytes) -> str:
    """As hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def fingerprint_of(values: Mapping[str, Any]) -> str:
    """SHA-256 over the canonical JSON (RFC 8785) of a manifest without its fingerprint."""
    return sha256(rfc8785.dumps({k: v for k, v in values.items() if k != "fingerprint"}))


def parse_manifest(text: str | bytes, where: str) -> Manifest:
    """Reads and checks manifest.json; `where` names it in errors.

    Raises:
        ArtifactError: if it is no manifest, of a version we do not read, too large, or was changed.
    """
    if len(text) > MANIFEST_BYTES:
        raise ArtifactError(f"{where} has {len(text):,} bytes, more than the {MANIFEST_BYTES:,} of any manifest.")
    try:
        values = json.loads(text)
        version = values["format_version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactError(f"{where} is not a manifest of artoveq; export the model again.") from error
    if not _shallow(values):
        raise ArtifactError(f"{where} holds more values, or deeper ones, than any manifest; export the model again.")
    if version == 1:
        raise ArtifactError(
            f"{where} has format version 1, and this artoveq reads version {FORMAT_VERSION}; "
            "convert it with `artoveq convert MODEL --data DATA`."
        )
    if version != FORMAT_VERSION:
        raise ArtifactError(
            f"{where} has format version {str(version)[:20]}, and this artoveq reads version {FORMAT_VERSION}; "
            "install a newer artoveq, or export the model again."
        )
    try:
        manifest = Manifest.model_validate(values)
        fingerprint = fingerprint_of(values)
    except ValidationError as error:
        raise ArtifactError(
            f"{where} has missing or wrong values ({_faults(error)}); export the model again."
        ) from error
    except rfc8785.CanonicalizationError as error:
        raise ArtifactError(f"{where} holds a number that JSON cannot ({error}); export the model again.") from error
    if fingerprint != manifest.fingerprint:
        raise ArtifactError(f"{where} was changed after it was made; fetch or export the model again.")
    return manifest


def _shallow(values: Any) -> bool:
    """Whether values are no more, and no deeper in one another, than a manifest's: what checks them recurses."""
    level, count = [values], 1
    for _ in range(MOST_DEPTH):
        level = [child for one in level for child in _children(one)]
        count += len(level)
        if not level or count > MOST_VALUES:
            break
    return not level and count <= MOST_VALUES


def _children(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _faults(error: ValidationError) -> str:
    """Keys that are wrong, or what is inconsistent."""
    found = (
        ".".join(ascii(part).strip("'")[:40] for part in e["loc"]) or e["msg"].removeprefix("Value error, ")
        for e in error.errors(include_url=False)
    )
    return ", ".join(list(found)[:5])
