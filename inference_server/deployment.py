"""What gRPC and REST share of one running server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from inference_server.access import Access, Caller
from inference_server.access.proxies import Proxies
from inference_server.alone import Alone
from inference_server.answers import Decoded
from inference_server.folder_states import found_in
from inference_server.greetings import Greetings
from inference_server.loading import Loading
from inference_server.memory import MemoryBudget
from inference_server.model import Model
from inference_server.page.edges import Edges
from inference_server.registry import ModelRegistry
from inference_server.settings import Settings
from inference_server.streams.status import STOPPING
from inference_server.unread import Unread
from inference_server.uploads import Uploads
from inference_server.versions import KeptVersion, VersionsFile
from wire.distribution import model_folder
from wire.exceptions import ArtifactError, ArtoveqError, ServerUnavailable
from wire.payload import Indices
from wire.questions import question_of

log = logging.getLogger(__name__)


class Deployment:
    """Its settings, models, callers and edges, and whether it is about to stop."""

    def __init__(self, settings: Settings, alone: Alone | None = None) -> None:
        self.settings, self.alone = settings, alone or Alone()
        self.access = Access(settings)
        self.proxies = Proxies(settings.proxies, settings.proxy_certificate_header)
        self.greetings = Greetings(settings)
        self.uploads = Uploads(
            most_of_file=settings.max_upload_bytes,
            most=settings.upload_memory_bytes,
            most_of_caller=settings.caller_uploads,
        )
        self._memory = MemoryBudget(settings.picture_memory_bytes)
        self.loading = Loading(settings.models_memory_bytes)
        self._versions = VersionsFile(settings.versions_file) if settings.versions_file else None
        self.found_models: dict[str, str] = {}
        """Of the models folder, as the server begins: fingerprints by the names of their folders."""
        self.models = self._first_models()
        self.edges = Edges(settings.reporting_edges, self.alone.edge_numbers())
        self.shared_answers = self.alone.shared_answers(settings)
        self.port = settings.port
        """Of gRPC, as it is in use."""
        self.began = time.monotonic()
        self.leaving = False
        """The server is about to stop; still, it takes new work."""
        self.draining = False

    def _first_models(self) -> ModelRegistry:
        """Those of the settings, and those that were added; which edges get what they got before.

        Raises:
            ArtifactError, SettingsError: if what the settings name cannot be served.
        """
        models = [self._loaded(folder) for folder in self.settings.model]
        here = {one.manifest.fingerprint for one in models}
        for model in self._in_folder():
            if model.manifest.fingerprint not in here:
                here.add(model.manifest.fingerprint)
                self.found_models[model.artifact.folder.name] = model.manifest.fingerprint
                models.append(model)
        latest = self.settings.versions == "latest"
        if self._versions is None:
            return ModelRegistry(models, latest=latest)
        kept = self._versions.read()
        for version in (version for name in kept.names for version in name.versions):
            if version.fingerprint not in here:
                try:
                    models.append(self._added_before(version))
                except ArtoveqError as error:
                    log.error("The version %s is served no longer: %s", version.fingerprint, error)
        registry = ModelRegistry(models, latest=latest)
        registry.restore(kept)
        return registry

    def _in_folder(self) -> Iterator[Model]:
        """Those that are whole; who watches the folder says what is wrong with the others."""
        if (root := self.settings.models) is not None:
            for name in found_in(root):
                with contextlib.suppress(ArtoveqError):
                    yield self._loaded(root / name)

    def _added_before(self, version: KeptVersion) -> Model:
        model = self._loaded(version.folder)
        if model.manifest.fingerprint != version.fingerprint:
            raise ArtifactError(f"{version.folder} holds another one now; add that one, or put this one back.")
        return model

    async def keep(self) -> None:
        """Has the versions, as they are now, outlive the process.

        Raises:
            NotKept: if they cannot.
        """
        if self._versions is not None:
            await asyncio.to_thread(self._versions.write, self.models.kept())

    def load(self, folder: Path) -> Model:
        """A model from its artifact's folder, or from the address of one in a registry; its files are checked.

        Raises:
            ArtifactError: if it is none.
            RegistryError: if the registry does not give it.
        """
        return Model(model_folder(folder), self.settings, self._memory, self.loading, self.alone)

    def _loaded(self, folder: Path) -> Model:
        """As `load`, and opened."""
        model = self.load(folder)
        self.loading.load(model)
        return model

    def admit(self, caller: Caller, now: float | None = None) -> None:
        """Takes one picture from the caller's allowance; now: of the monotonic clock.

        Raises:
            ServerUnavailable: once the server is stopping.
            AccessDenied: if the caller's token is no longer there.
            ServerOverloaded: if nothing of the allowance is left.
        """
        self.refuse_when_draining()
        self.access.spend(caller, time.monotonic() if now is None else now)

    async def decode(
        self,
        model: Model,
        caller: Caller,
        point: int,
        newest: Indices | Unread,
        question: str = "",
        on_part: Callable[[Decoded], None] = lambda part: None,
    ) -> Decoded:
        """What the decoder makes of a picture at a point; it counts for the caller's share of the time.

        on_part: is called with each part of an answer that comes in parts, before it is whole.

        Raises:
            QuestionError: if the model cannot answer the question, or wants one.
            ServerOverloaded: if the decoder's queue has no room for it.
        """
        asked = question_of(model.manifest, question)
        self.access.turns.decodes(caller.name)
        return await model.decoder.decode(caller.name, point, newest, asked, on_part)

    def refuse_when_draining(self) -> None:
        """Raises ServerUnavailable once the server is stopping."""
        if self.draining:
            raise ServerUnavailable(STOPPING)
