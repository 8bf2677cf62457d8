"""What is seen of a folder of models."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from wire.exceptions import SettingsError
from wire.manifest import MANIFEST


def states(root: Path) -> dict[str, bytes]:
    """What each folder is like that has a manifest, by name; hidden ones are passed over.

    Of the manifest the contents count, which has a hash of each other file; of those their sizes and times, which tell
    while they are being copied.

    Raises:
        OSError: if the folder as a whole cannot be read.
    """
    with os.scandir(root) as entries:
        names = sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())
    found = {}
    for name in names:
        try:
            found[name] = _state(root / name)
        except OSError:  # no model yet, or just going
            continue
    return found


def _state(folder: Path) -> bytes:
    state = hashlib.sha256((folder / MANIFEST).read_bytes())
    for path in sorted(folder.iterdir()):
        status = path.stat()
        state.update(f"\0{path.name}\0{status.st_size}\0{status.st_mtime_ns}".encode(errors="surrogateescape"))
    return state.digest()


def found_in(root: Path) -> dict[str, bytes]:
    """As `states`, when a server begins.

    Raises:
        SettingsError: if the folder cannot be read.
    """
    try:
        return states(root)
    except OSError as error:
        raise SettingsError(
            f"The models folder {root} cannot be read ({error.strerror}); name one that is there with --models."
        ) from error
