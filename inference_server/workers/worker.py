"""A front end: the whole server but for the decoder, on ports that it shares with others."""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference_server.alone import Alone
from inference_server.decoder import Decoder
from inference_server.lifetime import end
from inference_server.management import Management
from inference_server.model import Model
from inference_server.page.routes import View
from inference_server.server import Server, run_until
from inference_server.settings import Settings
from inference_server.shared_answers import SharedAnswers, StoreAway
from inference_server.workers.line import Line, LineCut
from inference_server.workers.process import begin
from inference_server.workers.remote_decoder import RemoteDecoder
from inference_server.workers.views import merged
from wire.artifact import Artifact
from wire.exceptions import ArtoveqError
from wire.manifest import Manifest

if TYPE_CHECKING:
    from inference_server.deployment import Deployment
    from inference_server.streams.streams import Streams


class SharedManagement(Management):
    """What is done to one worker's models is done to those of all."""

    def __init__(self, deployment: Deployment, streams: Streams, own: Management, line: Line) -> None:
        super().__init__(deployment, streams, time.monotonic())
        self.own, self._line = own, line

    async def add(self, folder: Path) -> Model:
        return self._served(await self._line.ask("everyone", verb="add", given={"folder": str(folder)}))

    async def promote(self, fingerprint: str, share: float) -> Model:
        given = {"fingerprint": fingerprint, "share": share}
        return self._served(await self._line.ask("everyone", verb="promote", given=given))

    async def roll_back(self, name: str) -> Model:
        return self._served(await self._line.ask("everyone", verb="roll_back", given={"name": name}))

    async def remove(self, fingerprint: str) -> Model:
        gone = self._served(fingerprint)
        await self._line.ask("everyone", verb="remove", given={"fingerprint": fingerprint})
        return gone

    def _served(self, fingerprint: str) -> Model:
        return self._deployment.models.of_fingerprint(fingerprint)


class LineStore:
    """The supervisor's memory, as `shared_answers.Store`."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def claim(self, caller: str, key: bytes, value: bytes, seconds: float) -> bytes | None:
        found = await self._ask("claim", caller, key, value, seconds=seconds)
        return None if found is None else bytes.fromhex(found)

    async def put(self, caller: str, key: bytes, value: bytes, seconds: float) -> None:
        await self._ask("put", caller, key, value, seconds=seconds)

    async def release(self, caller: str, key: bytes, value: bytes) -> None:
        await self._ask("release", caller, key, value)

    async def close(self) -> None:
        pass

    async def _ask(self, verb: str, caller: str, key: bytes, value: bytes, **given: float) -> Any:
        try:
            return await self._line.ask(verb, caller=caller, key=key.hex(), value=value.hex(), **given)
        except LineCut as error:
            raise StoreAway("the supervisor has gone") from error


class Worker(Alone):
    """One of several. decoder_address: of the decoder's process that it sends its batches to."""

    shares_ports = True

    def __init__(self, decoder_address: Path, number: int, workers: int) -> None:
        self._decoder_address, self._number, self._workers = decoder_address, number, workers
        self.line = Line({"stop": self._stop, "watch": self._watch, **{verb: self._changer(verb) for verb in CHANGES}})
        self.stopping = asyncio.Event()
        self._management: Management | None = None
        self._deployment: Deployment | None = None
        self._views: dict[str, tuple[View, float]] = {}
        """Of others' viewers, and when they asked last."""

    def decoder(self, artifact: Artifact, settings: Settings) -> Decoder:
        return RemoteDecoder(self._decoder_address, artifact)

    def caller_pictures(self, decoder: Decoder, manifest: Manifest, settings: Settings) -> int:
        assert isinstance(decoder, RemoteDecoder)
        return decoder.caller_pictures  # measured there, where nobody else is at work

    def shared_answers(self, settings: Settings) -> SharedAnswers | None:
        found = super().shared_answers(settings)  # with other machines
        return found or SharedAnswers(LineStore(self.line), seconds=settings.store_keeps_seconds, required=True)

    def edge_numbers(self) -> Iterator[int]:
        return itertools.count(1 + self._number, self._workers)

    async def told(self, viewer: str, edge: int | None, own: dict[str, Any]) -> dict[str, Any]:
        given = {"viewer": viewer, "edge": edge}
        return merged([own, *await self.line.ask("others", verb="watch", given=given)])

    async def _watch(self, viewer: str, edge: int | None) -> dict[str, Any]:
        """What this process tells another one's viewer."""
        now = time.monotonic()
        self._views = {name: one for name, one in self._views.items() if now < one[1] + FORGOTTEN_S}
        assert self._deployment is not None
        view, _ = self._views.get(viewer) or (View(self._deployment, edge), now)
        self._views[viewer] = view, now
        return view.news()

    def management(self, own: Management, deployment: Deployment, streams: Streams) -> Management:
        self._management, self._deployment = own, deployment
        return SharedManagement(deployment, streams, own, self.line)

    async def _stop(self) -> None:
        self.stopping.set()

    def _changer(self, verb: str) -> Callable[..., Any]:
        async def change(**given: Any) -> str:
            """In this process alone; gives the fingerprint of the version that it is about."""
            assert self._management is not None
            if "folder" in given:
                given["folder"] = Path(given["folder"])
            model: Model = await getattr(self._management, verb)(**given)
            return model.manifest.fingerprint

        return change


FORGOTTEN_S = 10.0
"""A viewer of another worker's that has not asked for so long has gone."""
CHANGES = ("add", "promote", "roll_back", "remove")


def front_end(
    settings: Settings, control: socket.socket, decoder_address: Path, number: int, set_up: Callable[[], None]
) -> None:
    """The process: until the supervisor says so, or has gone."""
    begin(set_up)
    asyncio.run(_serve(settings, control, Worker(decoder_address, number, settings.workers)))
    end()


async def _serve(settings: Settings, control: socket.socket, worker: Worker) -> None:
    speaking = asyncio.create_task(worker.line.run(control))
    speaking.add_done_callback(lambda _: worker.stopping.set())

    async def ready(server: Server) -> None:
        models = [(one.manifest.name, one.manifest.fingerprint) for one in server.deployment.models]
        await worker.line.ask("ready", models=models)

    try:
        await run_until(settings, worker, worker.stopping, ready)
    except ArtoveqError as error:
        await worker.line.ask("failed", text=str(error))
