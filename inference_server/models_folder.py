"""A folder whose folders are models: looked at now and then, and served as `folder_watch` decides."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Mapping
from pathlib import Path

from inference_server.folder_states import states
from inference_server.folder_watch import Drop, Known, Take, Tell, decide
from inference_server.management import Management
from wire.artifact import read_file
from wire.exceptions import ArtoveqError, ModelMismatch, ServerOverloaded
from wire.manifest import MANIFEST
from wire.manifest_json import parse_manifest

log = logging.getLogger(__name__)


BEGAN_WITH = b"?"
"""The state of a folder that the server began with, until it is looked at again."""


class ModelsFolder:
    """Of one server. Use from the event loop only.

    served: what the server began with, fingerprints by the names of their folders.
    """

    def __init__(self, root: Path, management: Management, served: Mapping[str, str]) -> None:
        self._root, self._management, self._served = root, management, dict(served)
        self._known = {name: Known(BEGAN_WITH, 0.0) for name in served}
        self._found: Mapping[str, bytes] = {}
        self._faults: dict[str, str] = {}
        """Why a folder's model could not be taken."""
        self._unreadable = False
        self._leaving: set[asyncio.Task[None]] = set()

    async def look(self, now: float) -> None:
        """Serves what has come, and what has gone no longer. now: of the monotonic clock."""
        try:
            self._found = await asyncio.to_thread(states, self._root)
        except OSError as error:  # a volume that is away has not lost its models
            if not self._unreadable:
                log.warning("The models folder %s cannot be read (%s); its models stay.", self._root, error.strerror)
            self._unreadable = True
            return
        self._unreadable = False
        self._known, actions = decide(self._known, self._found, now)
        for action in actions:
            match action:
                case Take(name):
                    await self._tried(name, self._take(name))
                case Drop(name):
                    await self._tried(name, self._drop(name))
                case Tell(name) if name in self._faults:
                    log.warning(
                        "The model in %s is not served: %s It is looked at again when it changes.",
                        self._root / name,
                        self._faults[name],
                    )

    async def _tried(self, name: str, act: Awaitable[None]) -> None:
        self._faults.pop(name, None)
        try:
            await act
        except ServerOverloaded:  # no memory just now: as if it had just come
            self._known.pop(name)
        except ArtoveqError as error:
            self._faults[name] = str(error)

    async def _take(self, name: str) -> None:
        folder, before = self._root / name, self._served.get(name)
        manifest = await asyncio.to_thread(read_file, folder, MANIFEST)
        fingerprint = parse_manifest(manifest, str(folder / MANIFEST)).fingerprint
        if fingerprint == before:
            return
        if any(served == fingerprint and other not in self._found for other, served in self._served.items()):
            self._management.moved(fingerprint, folder)
        else:
            await self._management.add(folder)
        self._served[name] = fingerprint
        if before is not None:
            await self._withdraw(before)

    async def _drop(self, name: str) -> None:
        if (fingerprint := self._served.pop(name, None)) is not None:
            await self._withdraw(fingerprint)

    async def _withdraw(self, fingerprint: str) -> None:
        if fingerprint not in self._served.values():
            with contextlib.suppress(ModelMismatch):  # somebody has removed it already
                model = await self._management.withdraw(fingerprint)
                # Beside what else changes: its edges may need just that to go over.
                self._leaving.add(leaving := asyncio.create_task(self._management.leave(model)))
                leaving.add_done_callback(self._leaving.discard)
