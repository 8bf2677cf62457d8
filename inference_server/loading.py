"""Which models are in memory: all, or as many as find room, and those that are asked for."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from inference_server.memory import return_freed
from inference_server.room import Held, ModelTooLarge, to_unload
from wire.exceptions import ArtoveqError, ServerError

if TYPE_CHECKING:
    from inference_server.model import Model

log = logging.getLogger(__name__)


class Loading:
    """Of one server's models. most: bytes that they may take together; 0: without limit."""

    def __init__(self, most: int = 0) -> None:
        self._most = most
        self._loaded: list[Model] = []
        self._lock = asyncio.Lock()
        self._under_way: dict[Model, asyncio.Task[None]] = {}

    def load(self, model: Model) -> None:
        """As `want`, before the event loop runs.

        Raises:
            ArtoveqError: as `want`.
        """
        self._make_room(model)
        model.open()
        self._loaded.append(model)

    async def want(self, model: Model) -> None:
        """Returns once a model is loaded.

        Raises:
            ModelTooLarge: if it does not fit alone.
            ServerOverloaded: if those in use leave no room for it.
            ArtoveqError: if its files cannot be opened.
        """
        if not model.loaded:
            await asyncio.shield(self.ask(model))  # others may wait for it, too

    def ask(self, model: Model) -> asyncio.Task[None]:
        """Has a model loaded; what waits for its decoder learns why, if it cannot be."""
        task = self._under_way.get(model)
        if task is None:
            task = self._under_way[model] = asyncio.create_task(self._load(model))
            task.add_done_callback(lambda done: self._over(model, done))
        return task

    def _over(self, model: Model, task: asyncio.Task[None]) -> None:
        del self._under_way[model]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("The model %s could not be loaded: %s", model.manifest.name, error)

    async def _load(self, model: Model) -> None:
        async with self._lock:
            try:
                if self._make_room(model):
                    await asyncio.to_thread(return_freed)
                await asyncio.to_thread(model.open)
            except ArtoveqError as error:
                model.decoder.fail(error)
                raise
            except Exception as error:  # whatever it was, nobody waits in vain
                log.exception("A model could not be loaded.")
                failure = ServerError(f"The model cannot be loaded ({error}); the server's log has more.")
                model.decoder.fail(failure)
                raise failure from error
            self._loaded.append(model)
            model.decoder.opened()

    def _make_room(self, model: Model) -> bool:
        """Whether something had to be unloaded."""
        self._loaded = [one for one in self._loaded if one.loaded]
        if not self._most:
            return False
        if model.memory_bytes > self._most:
            raise ModelTooLarge(
                f"The model {model.manifest.name} takes {model.memory_bytes:,} bytes of memory, and all models "
                f"together may take {self._most:,}; set ARTOVEQ_MODELS_MEMORY_BYTES to more, or serve a smaller one."
            )
        held = [Held(one.manifest.fingerprint, one.memory_bytes, one.asked, one.works) for one in self._loaded]
        gone = to_unload(held, model.memory_bytes, self._most, time.monotonic())
        for one in self._loaded:
            if one.manifest.fingerprint in gone:
                one.close()
                log.info("The model %s is unloaded, to make room for %s.", one.manifest.name, model.manifest.name)
        return bool(gone)
