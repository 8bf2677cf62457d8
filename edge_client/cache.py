"""Models that were fetched, on the disk: whole or not at all, also after a power cut, and of bounded size.

FOLDER/FINGERPRINT/manifest.json, encoder.onnx, …
FOLDER/servers/HASH                               which model an address served last
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from wire.artifact import Artifact, load_artifact
from wire.exceptions import ArtifactError, SettingsError
from wire.files import sync_folder, write_synced

log = logging.getLogger(__name__)

CACHE_BYTES = 1 << 30
SERVERS = "servers"
MOST_SERVERS = 256
"""Addresses of which the last model is remembered."""
NEW = ".new-"
FINGERPRINT = re.compile(r"[0-9a-f]{64}")


def cache_folder() -> Path:
    """Where fetched encoders are kept: $ARTOVEQ_CACHE, or artoveq/ in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "artoveq"
    return Path(os.environ.get("ARTOVEQ_CACHE") or default)


def cache_bytes() -> int:
    """What the cache may take: $ARTOVEQ_CACHE_BYTES, or `CACHE_BYTES`.

    Raises:
        SettingsError: if it is no number above 0.
    """
    text = os.environ.get("ARTOVEQ_CACHE_BYTES") or str(CACHE_BYTES)
    if not text.isdecimal() or not int(text):
        raise SettingsError(f"ARTOVEQ_CACHE_BYTES is a number of bytes above 0, not {text!r}.")
    return int(text)


class ModelCache:
    """The models in a folder; at most so many bytes of them, and the newest one in any case."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder, self._most_bytes = folder, most_bytes

    def load(self, fingerprint: str) -> Artifact | None:
        """The edge's part of a model; None where it is not there, or not whole."""
        folder = self._folder / fingerprint
        try:
            artifact = load_artifact(folder, edge=True)
        except ArtifactError:
            return None
        with contextlib.suppress(OSError):  # a disk that cannot be written can still be read
            os.utime(folder)
        return artifact

    def store(self, fingerprint: str, files: Mapping[str, bytes]) -> Artifact:
        """Keeps a model's files, the manifest among them; the models unused for longest go for it.

        Raises:
            ArtifactError: if the disk does not take them, or they are not that model's.
        """
        folder, scratch = self._folder / fingerprint, None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(prefix=NEW, dir=self._folder))
            scratch.chmod(0o755)
            for name, data in files.items():
                write_synced(scratch / name, data)
            sync_folder(scratch)
            if self.load(fingerprint) is None:  # else another process was faster
                shutil.rmtree(folder, ignore_errors=True)
                os.replace(scratch, folder)
                sync_folder(self._folder)
        except OSError as error:
            raise ArtifactError(
                f"The encoder could not be stored in {folder} ({error.strerror}); free some space, or set "
                "ARTOVEQ_CACHE."
            ) from error
        finally:
            if scratch is not None:
                shutil.rmtree(scratch, ignore_errors=True)
        self._trim(folder)
        return load_artifact(folder, edge=True)

    def served(self, address: str) -> str | None:
        """The fingerprint of the model that an address served last."""
        with contextlib.suppress(OSError, ValueError, TypeError, LookupError):
            fingerprint = json.loads(self._server(address).read_bytes())["fingerprint"]
            return fingerprint if FINGERPRINT.fullmatch(fingerprint) else None
        return None

    def remember(self, address: str, fingerprint: str) -> None:
        """Which model an address serves, for an edge that starts while it cannot be reached."""
        if self.served(address) == fingerprint:
            return
        path = self._server(address)
        fresh = path.with_name(f"{NEW}{path.name}-{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for old in sorted(path.parent.iterdir(), key=lambda one: one.stat().st_mtime)[: 1 - MOST_SERVERS]:
                old.unlink()
            write_synced(fresh, json.dumps({"address": address, "fingerprint": fingerprint}).encode())
            os.replace(fresh, path)
            sync_folder(path.parent)
        except OSError as error:
            log.warning("Which model %s serves cannot be remembered in %s (%s).", address, path, error.strerror)

    def _server(self, address: str) -> Path:
        return self._folder / SERVERS / hashlib.sha256(address.encode(errors="replace")).hexdigest()

    def _trim(self, newest: Path) -> None:
        """Deletes the models unused for longest, and what a power cut left, until the rest fits."""
        with contextlib.suppress(OSError):  # another process trims, too
            names = [name for name in os.listdir(self._folder) if name.startswith(NEW) or FINGERPRINT.fullmatch(name)]
            rest = [((self._folder / name).stat().st_mtime, self._folder / name) for name in names]
            total = sum(_size(folder) for _, folder in rest)
            for _, folder in sorted(rest):
                if total <= self._most_bytes:
                    return
                if folder != newest:
                    total -= _size(folder)
                    shutil.rmtree(folder)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
