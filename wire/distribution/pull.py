"""A model from a registry into the cache: each file where the last try ended, all of them checked, or nothing."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from wire.artifact import load_artifact, replace_folder
from wire.cache import NEW, Cache, cache_bytes, cache_folder, hold
from wire.distribution.address import Address
from wire.distribution.document import File, check_files, files_in
from wire.distribution.registry import ON_THE_WAY, PAUSES_S, Registry, sentences
from wire.exceptions import ArtifactError, RegistryError, RegistryUnavailable, UsageError
from wire.files import sync_folder
from wire.manifest import MANIFEST
from wire.manifest_json import parse_manifest, sha256

log = logging.getLogger(__name__)

PULL_S = 1800.0
"""How long a model may take."""


def pulled(address: Address) -> Path:
    """The folder, in the cache, of the model that is at the address now; by a digest that is there nobody is asked.

    Where the registry cannot be reached it is the model that the address had last.

    Raises:
        RegistryError: if the registry does not give it.
        ArtifactError: if what it gives is no whole model, or the disk does not take it.
    """
    cache = Cache(cache_folder() / "oci", cache_bytes())
    if address.digest and _whole(cache.folder / address.digest):
        return _kept(cache, address.digest)
    try:
        with Registry(address, PULL_S) as registry:
            listed = registry.document()
            digest = sha256(listed)
            if not _whole(cache.folder / digest):
                _pull(cache, registry, replace(address, digest=digest), listed)
    except RegistryUnavailable as error:
        last = None if address.digest else cache.served(str(address))
        if last is None or not _whole(cache.folder / last):
            raise
        log.warning("%s The model that %s had last is taken, sha256:%s.", error, address, last)
        return _kept(cache, last)
    if not address.digest:
        cache.remember(str(address), digest)
    return _kept(cache, digest)


def pull_into(address: Address, folder: Path) -> str:
    """Puts the model at an address into a folder, where another model may be; returns the digest.

    Raises:
        UsageError: if something else is in the folder.
        ArtifactError, RegistryError: as `pulled`; the folder stays as it was.
    """
    if folder.exists() and not (folder / MANIFEST).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} holds something that is no model; name another folder.")
    source = pulled(address)
    replace_folder(folder, {path.name: path.read_bytes() for path in source.iterdir()})
    return source.name


def _kept(cache: Cache, digest: str) -> Path:
    folder = cache.folder / digest
    with contextlib.suppress(OSError):  # a disk that cannot be written can still be read
        hold(folder)
        os.utime(folder)
    cache.trim(folder)
    return folder


def _whole(folder: Path) -> bool:
    try:
        load_artifact(folder)
    except ArtifactError:
        return False
    return True


def _pull(cache: Cache, registry: Registry, address: Address, listed: bytes) -> None:
    files = files_in(listed, str(address), cache_bytes())
    folder, scratch = cache.folder / address.digest, cache.folder / f"{NEW}{address.digest}"
    try:
        with _alone(scratch, registry):
            if _whole(folder):  # another process was faster
                return
            for name in sorted(files, key=lambda name: (name != MANIFEST, files[name].size)):
                _fetch(registry, scratch / name, files[name])
                if name == MANIFEST:
                    model = parse_manifest((scratch / MANIFEST).read_bytes(), f"The manifest in {address}")
                    check_files(files, model, str(address))
            try:
                load_artifact(scratch)
            except ArtifactError:
                shutil.rmtree(scratch)
                raise
            for path in scratch.iterdir():
                if path.name not in files:
                    path.unlink()
            sync_folder(scratch)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(scratch, folder)
            sync_folder(cache.folder)
    except OSError as error:
        raise ArtifactError(
            f"{address} could not be stored in {folder} ({error.strerror}); free some space, or set ARTOVEQ_CACHE."
        ) from error


@contextlib.contextmanager
def _alone(scratch: Path, registry: Registry) -> Iterator[None]:
    """One process at a time fills the folder; it stays for the next one where that failed."""
    while True:
        scratch.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(scratch, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if scratch.exists() and os.path.samestat(os.fstat(descriptor), os.stat(scratch)):  # else it was renamed
                yield
                return
        except BlockingIOError:
            if time.monotonic() > registry.deadline:
                raise RegistryUnavailable(f"Another process takes too long for {registry.address}; end it.") from None
            time.sleep(0.2)
        finally:
            os.close(descriptor)


def _fetch(registry: Registry, path: Path, file: File) -> None:
    """Brings a file to its announced size, from where it is, and checks it."""
    pauses = iter((*PAUSES_S, None))
    while (have := path.stat().st_size if path.exists() else 0) < file.size:
        with sentences(registry.address):
            try:
                _append(registry, path, file, have)
            except (*ON_THE_WAY, RegistryUnavailable):
                if path.exists() and path.stat().st_size > have:
                    continue
                pause = next(pauses)
                if pause is None:
                    raise
                time.sleep(pause)
                continue
        if path.stat().st_size < file.size:
            raise RegistryError(
                f"{registry.address.host} gives {path.stat().st_size:,} of the {file.size:,} bytes of {path.name} that "
                f"{registry.address} announces; push the model again."
            )
    if not path.exists():
        path.touch()
    if sha256(path.read_bytes()) != file.digest:
        path.unlink()
        raise RegistryError(
            f"{registry.address.host} gives other bytes for {path.name} than {registry.address} announces; push the "
            "model again."
        )


def _append(registry: Registry, path: Path, file: File, have: int) -> None:
    begin, pieces = registry.pieces(file.digest, have)
    with contextlib.closing(pieces), path.open("r+b" if have else "wb") as out:
        out.truncate(begin)
        out.seek(begin)
        for piece in pieces:
            begin += len(piece)
            if begin > file.size:
                raise RegistryError(
                    f"{registry.address.host} gives more of {path.name} than the {file.size:,} bytes that "
                    f"{registry.address} announces; push the model again."
                )
            out.write(piece)
        out.flush()
        os.fsync(out.fileno())
