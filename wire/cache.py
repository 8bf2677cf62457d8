"""What was fetched, on the disk: whole or not at all, also after a power cut, and of bounded size.

FOLDER/KEY/…           one thing that was fetched; KEY: the 64 hexadecimal digits that name it
FOLDER/servers/HASH    which of them an address had last
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
from pathlib import Path

from wire.exceptions import SettingsError
from wire.files import replace_synced

log = logging.getLogger(__name__)

CACHE_BYTES = 1 << 30
SERVERS = "servers"
MOST_SERVERS = 256
"""Addresses of which the last model is remembered."""
NEW = ".new-"
KEY = re.compile(r"[0-9a-f]{64}")
_held: dict[Path, int] = {}


def cache_folder() -> Path:
    """Where what was fetched is kept: $ARTOVEQ_CACHE, or artoveq/ in the user's cache folder."""
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


class Cache:
    """A folder of things that were fetched; at most so many bytes of them, and the newest one in any case."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.folder, self._most_bytes = folder, most_bytes

    def served(self, address: str) -> str | None:
        """The key of what an address had last."""
        with contextlib.suppress(OSError, ValueError, TypeError, LookupError):
            key = json.loads(self._server(address).read_bytes())["fingerprint"]
            return key if KEY.fullmatch(key) else None
        return None

    def remember(self, address: str, key: str) -> None:
        """What an address has, for a start while it cannot be reached."""
        if self.served(address) == key:
            return
        path = self._server(address)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for old in sorted(path.parent.iterdir(), key=lambda one: one.stat().st_mtime)[: 1 - MOST_SERVERS]:
                old.unlink()
            replace_synced(path, json.dumps({"address": address, "fingerprint": key}).encode())
        except OSError as error:
            log.warning("Which model %s serves cannot be remembered in %s (%s).", address, path, error.strerror)

    def _server(self, address: str) -> Path:
        return self.folder / SERVERS / hashlib.sha256(address.encode(errors="replace")).hexdigest()

    def trim(self, newest: Path) -> None:
        """Deletes what is unused for longest, and what a power cut left, until the rest fits; not what is held."""
        with contextlib.suppress(OSError):  # another process trims, too
            names = [name for name in os.listdir(self.folder) if name.startswith(NEW) or KEY.fullmatch(name)]
            rest = [((self.folder / name).stat().st_mtime, self.folder / name) for name in names]
            total = sum(_size(folder) for _, folder in rest)
            for _, folder in sorted(rest):
                if total <= self._most_bytes:
                    return
                if folder != newest and not _in_use(folder):
                    total -= _size(folder)
                    shutil.rmtree(folder)


def hold(folder: Path) -> None:
    """While this process lives nobody trims the folder away."""
    if folder not in _held:
        descriptor = _held[folder] = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_SH)


def _in_use(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
