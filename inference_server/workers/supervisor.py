"""The process that starts the others, keeps them running, and ends them: front ends, and a decoder for each device."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from prometheus_client.multiprocess import mark_process_dead

from inference_server.lifetime import first_signal
from inference_server.metrics import SHARED_FOLDER
from inference_server.server import CLOSING_S, announce, listen
from inference_server.settings import Settings
from inference_server.workers.decoder_process import decode_batches
from inference_server.workers.kept_answers import KeptAnswers
from inference_server.workers.line import Line, Verb
from inference_server.workers.worker import front_end
from wire.exceptions import ArtoveqError, ServerError

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0
"""Before what has ended is started anew; each pause is twice the one before, until it has run for long."""
LONG_S = 60.0
LAST_S = 1.0
"""For a worker that ends in time to be seen to have ended."""
SOON_S = 1.0
"""For what others say to a viewer of the page."""
SPAWN = get_context("spawn")


class Child:
    """A process, and what is said with it. what: as the log calls it. arguments: after the end of its line."""

    def __init__(
        self, what: str, target: Callable[..., None], arguments: tuple[Any, ...], verbs: dict[str, Verb]
    ) -> None:
        self.what, self._target, self._arguments = what, target, arguments
        self._verbs = {**verbs, "ready": self._ready, "failed": self._failed}
        self.ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.ended = asyncio.Event()

    def start(self) -> None:
        """Begins; `ready` says when it works, `ended` when it does no longer."""
        ours, theirs = socket.socketpair()
        settings, *rest = self._arguments
        self.process = SPAWN.Process(target=self._target, args=(settings, theirs, *rest), daemon=True)
        self.process.start()
        theirs.close()
        self.line = Line(self._verbs)
        self._speaking = asyncio.create_task(self.line.run(ours))
        asyncio.get_running_loop().add_reader(self.process.sentinel, self._end)

    async def _ready(self, **given: Any) -> None:
        if not self.ready.done():
            self.ready.set_result(given)

    async def _failed(self, text: str) -> None:
        if not self.ready.done():
            self._fail(text)

    def _fail(self, text: str) -> None:
        self.ready.set_exception(ServerError(text))
        self.ready.exception()  # whether or not somebody asks

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self.process.sentinel)
        self.process.join()
        assert self.process.pid is not None
        mark_process_dead(self.process.pid)  # type: ignore[no-untyped-call]
        if not self.ready.done():
            self._fail(f"{self.what} did not start (exit code {self.process.exitcode}); its log has more.")
        self.ended.set()

    async def stop(self) -> None:
        """Returns once it has ended."""
        with contextlib.suppress(ArtoveqError):
            await self.line.ask("stop")
        await self.ended.wait()


class Supervisor:
    """Of one server. folder: for sockets, counters and versions, of this run alone."""

    def __init__(self, settings: Settings, set_up: Callable[[], None], folder: Path) -> None:
        self._settings, self._set_up, self._folder = settings, set_up, folder
        self._answers = KeptAnswers(settings.remembered_pictures)
        self._fronts: dict[int, Child] = {}
        self._decoders: dict[int, Child] = {}
        self._keeping: set[asyncio.Task[None]] = set()
        self._changing = asyncio.Lock()
        self._stopping = False

    async def start(self) -> list[tuple[str, str]]:
        """Starts the decoders, then the front ends; gives names and fingerprints of what is served.

        Raises:
            ServerError: as the first of them that cannot start says.
        """
        first = self._start(self._decoders, 0)
        devices = (await first.ready)["devices"]
        for number in range(1, devices):
            self._start(self._decoders, number)
        for child in self._decoders.values():
            await child.ready
        for number in range(self._settings.workers):
            self._start(self._fronts, number)
        served = [(await child.ready)["models"] for child in self._fronts.values()]
        for family in (self._decoders, self._fronts):
            for number in family:
                self._keep(family, number)
        return [(name, fingerprint) for name, fingerprint in served[0]]

    def _decoder(self, number: int) -> Child:
        self._address(number).unlink(missing_ok=True)
        given = (self._settings, self._address(number), number, self._set_up)
        return Child(f"The decoder's process {number + 1}", decode_batches, given, {})

    def _front(self, number: int) -> Child:
        verbs: dict[str, Verb] = {
            "claim": self._claim,
            "put": self._put,
            "release": self._release,
            "everyone": self._everyone,
            "others": partial(self._others, number),
        }
        given = (self._settings, self._address(number % len(self._decoders)), number, self._set_up)
        return Child(f"Worker {number + 1}", front_end, given, verbs)

    def _address(self, decoder: int) -> Path:
        return self._folder / f"decoder-{decoder}"

    def _start(self, family: dict[int, Child], number: int) -> Child:
        child = family[number] = self._decoder(number) if family is self._decoders else self._front(number)
        child.start()
        return child

    def _keep(self, family: dict[int, Child], number: int) -> None:
        task = asyncio.create_task(self._kept(family, number))
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    async def _kept(self, family: dict[int, Child], number: int) -> None:
        """Starts a process anew whenever it has ended."""
        child, pause = family[number], FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            await child.ended.wait()
            if self._stopping:
                return
            if time.monotonic() - began > LONG_S:
                pause = FIRST_PAUSE_S
            log.error("%s has ended (exit code %s); it is started anew.", child.what, child.process.exitcode)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
            if self._stopping:
                return
            child = self._start(family, number)
            try:
                await child.ready
            except ServerError as error:
                log.error("%s", error)
                child.process.kill()
            else:
                log.info("%s works again.", child.what)

    async def stop(self) -> None:
        """The front ends finish what they have, each as one process would; then the decoders end."""
        self._stopping = True
        await asyncio.gather(*(child.stop() for child in self._fronts.values()))
        self.kill()

    def kill(self) -> None:
        """Ends all that still run, at once."""
        self._stopping = True
        for child in (*self._fronts.values(), *self._decoders.values()):
            child.process.kill()

    # What front ends ask.

    async def _claim(self, caller: str, key: str, value: str, seconds: float) -> str | None:
        return self._answers.claim(caller, key, value, seconds, time.monotonic())

    async def _put(self, caller: str, key: str, value: str, seconds: float) -> None:
        self._answers.put(caller, key, value, seconds, time.monotonic())

    async def _release(self, caller: str, key: str, value: str) -> None:
        self._answers.release(caller, key, value)

    async def _everyone(self, verb: str, given: dict[str, Any]) -> Any:
        """Has all workers do something, one after the other; where the first cannot, none does."""
        async with self._changing:
            first, *others = self._fronts.values()
            answer = await first.line.ask(verb, **given)
            for child in others:
                try:
                    await child.line.ask(verb, **given)
                except ArtoveqError as error:
                    log.error("%s could not follow the others (%s); it is started anew.", child.what, error)
                    child.process.kill()
            return answer

    async def _others(self, asking: int, verb: str, given: dict[str, Any]) -> list[Any]:
        """What the other workers say, of those that run and answer soon."""
        asked = [child.line.ask(verb, **given) for number, child in self._fronts.items() if number != asking]
        waiting = (asyncio.wait_for(one, SOON_S) for one in asked)
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        return [one for one in answers if not isinstance(one, BaseException)]


async def supervise(settings: Settings, set_up: Callable[[], None]) -> None:
    """Serves with several processes, until SIGTERM or SIGINT. set_up: of the log, in each of them.

    Raises:
        ServerError: if they cannot start.
    """
    folder = Path(tempfile.mkdtemp(prefix="artoveq-"))  # nobody else's
    try:
        (folder / "metrics").mkdir()
        os.environ[SHARED_FOLDER] = str(folder / "metrics")
        with contextlib.ExitStack() as reserved:
            ports = [
                reserved.enter_context(_reserved(settings.host, port)) for port in (settings.port, settings.http_port)
            ]
            port, http_port = (one.getsockname()[1] for one in ports)
            given = {"port": port, "http_port": http_port}
            if settings.versions_file is None:
                given["versions_file"] = folder / "versions"  # for workers that are started anew
            supervisor = Supervisor(settings.model_copy(update=given), set_up, folder)
            stopping = first_signal(supervisor.kill)
            starting = asyncio.create_task(supervisor.start())
            signalled = asyncio.create_task(stopping.wait())
            try:
                await asyncio.wait({starting, signalled}, return_when=asyncio.FIRST_COMPLETED)
                if starting.done():
                    announce(settings, starting.result(), port, http_port)
                    await signalled
                    ends_s = settings.drain_notice_seconds + settings.drain_seconds + CLOSING_S  # of each worker
                    await asyncio.wait({asyncio.create_task(supervisor.stop())}, timeout=ends_s + LAST_S)
            finally:
                for task in (starting, signalled):
                    task.cancel()
                supervisor.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _reserved(host: str, port: int) -> socket.socket:
    """A socket that keeps a port for the workers, and hears nothing.

    Raises:
        ServerError: if somebody else has it; that two servers share a port is not what anybody wants.
    """
    with listen(host, port, 1) as alone:
        found: int = alone.getsockname()[1]
    return listen(host, found, 1, shared=True)
