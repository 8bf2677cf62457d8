"""Models that were fetched, on the disk: FOLDER/FINGERPRINT/manifest.json, encoder.onnx, …"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from wire.artifact import Artifact, load_artifact
from wire.cache import NEW, Cache
from wire.exceptions import ArtifactError
from wire.files import sync_folder, write_synced


class ModelCache(Cache):
    """The models in a folder."""

    def load(self, fingerprint: str) -> Artifact | None:
        """The edge's part of a model; None where it is not there, or not whole."""
        folder = self.folder / fingerprint
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
        folder, scratch = self.folder / fingerprint, None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(prefix=NEW, dir=self.folder))
            scratch.chmod(0o755)
            for name, data in files.items():
                write_synced(scratch / name, data)
            sync_folder(scratch)
            if self.load(fingerprint) is None:  # else another process was faster
                shutil.rmtree(folder, ignore_errors=True)
                os.replace(scratch, folder)
                sync_folder(self.folder)
        except OSError as error:
            raise ArtifactError(
                f"The encoder could not be stored in {folder} ({error.strerror}); free some space, or set "
                "ARTOVEQ_CACHE."
            ) from error
        finally:
            if scratch is not None:
                shutil.rmtree(scratch, ignore_errors=True)
        self.trim(folder)
        return load_artifact(folder, edge=True)
