"""What is done to models while they are served: each as a whole, or not at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from inference_server.access.tokens import Caller, Tokens
from inference_server.deployment import Deployment
from inference_server.model import Model
from inference_server.registry import ModelRegistry
from inference_server.streams.streams import Streams
from wire.artifact import Artifact
from wire.exceptions import AccessDenied

log = logging.getLogger(__name__)


class NotManaged(AccessDenied):
    """Nobody may change this server's models."""


class Management:
    """Of one deployment. Use from the event loop only."""

    def __init__(self, deployment: Deployment, streams: Streams, now: float) -> None:
        self._deployment, self._streams = deployment, streams
        path = deployment.settings.admin_tokens_file
        self._admins = Tokens(path, now) if path else None
        self._lock = asyncio.Lock()

    def admin(self, authorization: str | None, now: float) -> Caller:
        """Who may change models, from the value of an `authorization` header.

        Raises:
            NotManaged: if nobody may.
            AccessDenied: if this is not one of them.
        """
        if self._admins is None:
            raise NotManaged("This server's models cannot be changed; set ARTOVEQ_ADMIN_TOKENS_FILE where it starts.")
        return self._admins.caller(authorization, now)

    async def add(self, folder: Path) -> Model:
        """Loads an artifact's folder, beside what goes on; edges get it once it is promoted; where its name is new, or
        the settings want the latest, at once.

        Raises:
            ArtifactError: if it is no artifact, or finds no room even alone.
            ServerOverloaded: if the models in use leave no room for it.
            VersionInUse: if it is served already.
            NotKept: as every change here, if it would not outlive the process.
        """
        async with self._lock:
            model = await asyncio.to_thread(self._deployment.load, folder)
            try:
                await self._deployment.loading.want(model)
                async with self._change() as models:
                    models.add(model)
            except BaseException:
                await model.stop()
                raise
        self._streams.follow()
        log.info("The model %s has a version %s.", model.manifest.name, model.manifest.fingerprint)
        return model

    async def promote(self, fingerprint: str, share: float) -> Model:
        """Gives a version to this share of the edges, 1: to all.

        Raises:
            ModelMismatch: if it is not served.
            VersionInUse: if it is current already.
        """
        async with self._lock, self._change() as models:
            model = models.of_fingerprint(fingerprint)
            models.rollout(model).promote(fingerprint, share)
        self._streams.follow()
        log.info("%g of the edges get %s of %s.", share, fingerprint, model.manifest.name)
        return model

    async def roll_back(self, name: str) -> Model:
        """Ends a canary; or goes back to what was current before. Gives what is current then.

        Raises:
            ModelMismatch: if there is no such name.
            VersionInUse: if nothing was current before.
        """
        async with self._lock, self._change() as models:
            rollout = models.rollout(models.named(name))
            rollout.roll_back()
            model = models.of_fingerprint(rollout.current)
        self._streams.follow()
        log.info("%s is back at %s.", rollout.name, rollout.current)
        return model

    async def remove(self, fingerprint: str) -> Model:
        """Ends the streams of a version that edges do not get any more, then unloads it.

        Raises:
            ModelMismatch: if it is not served.
            VersionInUse: if edges get it.
        """
        async with self._lock, self._change() as models:
            model = models.remove(fingerprint)
        await self._unload(model)
        return model

    async def withdraw(self, fingerprint: str) -> Model:
        """As `remove`, also where edges get it: those that can go over to another version; `leave` is to follow.

        Raises:
            ModelMismatch: if it is not served.
        """
        async with self._lock, self._change() as models:
            model = models.withdraw(fingerprint)
        self._streams.follow()
        return model

    async def leave(self, model: Model) -> None:
        """Unloads what was withdrawn, once its edges have gone over; the streams of others are ended."""
        await self._streams.gone_of(model, self._deployment.settings.drain_seconds)
        await self._unload(model)

    async def _unload(self, model: Model) -> None:
        await self._streams.end_of(model, self._deployment.settings.drain_seconds)
        await model.stop()
        log.info("%s has no version %s any more.", model.manifest.name, model.manifest.fingerprint)

    def moved(self, fingerprint: str, folder: Path) -> None:
        """The files of a version lie elsewhere now.

        Raises:
            ModelMismatch: if it is not served.
        """
        model = self._deployment.models.of_fingerprint(fingerprint)
        model.artifact = Artifact(folder, model.manifest)

    @asynccontextmanager
    async def _change(self) -> AsyncIterator[ModelRegistry]:
        """What is done to the models within is kept, or has not been done."""
        with self._deployment.models.change():
            yield self._deployment.models
            await self._deployment.keep()
