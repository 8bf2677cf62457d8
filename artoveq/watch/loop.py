"""The loop of `artoveq watch`: a frame when the link is ready, one result for each that was taken."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, cast

from artoveq.watch.frames import Frame
from artoveq.watch.sinks import Sink
from edge_client import AsyncClient, Kept, OneShot, Result, Spool
from edge_client.modes import Mode, Progressive
from edge_client.waiting import is_waited_for
from wire.exceptions import ArtifactError, ArtoveqError, ServerError, ServerOverloaded, ServerUnavailable, SpoolError
from wire.manifest import Manifest

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 10.0
SPOOLING_PAUSE_S = 1.0
"""With a spool a frame of a camera is worth taking while no server answers."""


@dataclass(frozen=True)
class Options:
    """How frames are sent. report: the server's page is told; thumbnail: it is shown the frame, too.

    mode: or what makes it from the manifest, where it depends on the model, which may change.
    """

    mode: Mode | Callable[[Manifest], Mode]
    budget: float
    top_k: int = 1
    report: bool = False
    thumbnail: bool = False


async def watch(
    client: AsyncClient,
    frames: AsyncIterator[Frame],
    sinks: Sequence[Sink],
    options: Options,
    spool: Spool | None = None,
) -> None:
    """Classifies frames until they end.

    While no server answers, each frame that was taken has the edge's own answer, where the model has a local head, and
    else is reported as failed. With a spool it is kept, too, and answered later: the newest first, and turn by turn
    with new frames; that answer has the same `key`, and takes the place of the edge's own. Nothing is forgotten before
    its result is at every sink; what a power cut leaves in between has its result once more, under the same `key`.
    """
    watching = _Watching(client, sinks, options, spool)
    delivering = asyncio.create_task(watching.deliver()) if spool is not None else None
    try:
        async with contextlib.aclosing(cast(Any, frames)):
            async for frame in frames:
                await watching.take(frame)
    finally:
        if delivering is not None:
            delivering.cancel()
            await asyncio.gather(delivering, return_exceptions=True)


class _Watching:
    def __init__(self, client: AsyncClient, sinks: Sequence[Sink], options: Options, spool: Spool | None) -> None:
        self._client, self._sinks, self._options, self._spool = client, sinks, options, spool
        self._turn = asyncio.Lock()  # fair: a new frame and a kept one take turns
        self._dark = ""
        """Why no server answers. Then `deliver` looks for it, and new frames go into the spool at once."""
        self._failures = 0
        self._mode: tuple[str, Mode] | None = None
        """And the model that it is for."""
        self._tries = 0
        """Of the kept picture that is the newest."""

    async def take(self, frame: Frame) -> None:
        """One frame: a result, or a failure and a pause."""
        record: dict[str, Any] = {
            "frame": frame.number,
            "source": frame.name,
            "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "age_ms": round(1000 * frame.age, 1),
        }
        if self._spool is not None:
            record["key"] = frame.key.hex()
        try:
            result = await self._answer(frame)
        except ArtoveqError as error:
            await self._failed(frame, record, error)
            return
        if result.error is not None:
            await self._failed(frame, record, result.error, result)
            return
        self._failures = 0
        await self._answered(frame, record, result)
        if self._options.report:
            await self._client.report(result, frame.picture, thumbnail=self._options.thumbnail)

    async def _answered(self, frame: Frame, record: dict[str, Any], result: Result) -> None:
        self._send(record | result.as_record())
        if frame.arrival is not None and self._spool is not None and await self._taken():
            with _said("A file cannot be ticked off"):
                self._spool.tick_off(frame.arrival.folder, {frame.arrival.name: frame.arrival.mark})

    async def _answer(self, frame: Frame) -> Result:
        if not self._dark:
            async with self._turn:
                if not self._dark:
                    return await self._predict(frame)
        raise ServerUnavailable(self._dark)

    async def _predict(self, frame: Frame) -> Result:
        return await self._client.predict(
            frame.picture, self._chosen(), budget=self._options.budget, top_k=self._options.top_k
        )

    async def _locally(self, frame: Frame) -> Result | None:
        """What the edge answers while no server does, where it can."""
        if self._client.encoder.manifest.local_head is None:
            return None
        options = self._options
        return await self._client.predict(frame.picture, OneShot(point=0), budget=options.budget, top_k=options.top_k)

    def _sure(self, local: Result) -> bool:
        """Whether no server's answer is wanted beside the edge's own."""
        mode = self._chosen()
        return isinstance(mode, Progressive) and local.answers[-1].confidence >= mode.min_confidence

    def _chosen(self) -> Mode:
        options, manifest = self._options, self._client.encoder.manifest
        if self._mode is None or self._mode[0] != manifest.fingerprint:
            chosen = options.mode(manifest) if callable(options.mode) else options.mode
            self._mode = manifest.fingerprint, chosen
        return self._mode[1]

    async def _failed(
        self, frame: Frame, record: dict[str, Any], error: ArtoveqError, local: Result | None = None
    ) -> None:
        """local: what the edge has answered already. Its answer stands until a server has answered, or for good."""
        self._failures += 1
        hint = error.retry_after if isinstance(error, ServerOverloaded) else 0.0
        if isinstance(error, ServerError):
            local = local or await self._locally(frame)
        if local is not None and self._sure(local):
            await self._answered(frame, record, local)
            return
        said = {} if local is None else local.as_record() | {"unanswered": str(error)}
        if self._spool is None or not isinstance(error, (ServerError, ArtifactError)):
            self._send(record | (said or {"error": str(error)}))
            await _pause(self._failures, LONGEST_PAUSE_S, hint)
            return
        if isinstance(error, ServerUnavailable):
            self._dark = str(error)
        self._keep(self._spool, frame, record, said, error)
        if not self._dark or frame.arrival is None:  # what a folder holds waits for nothing in the dark
            await _pause(self._failures, SPOOLING_PAUSE_S, hint)

    def _keep(
        self, spool: Spool, frame: Frame, record: dict[str, Any], said: dict[str, Any], error: ArtoveqError
    ) -> None:
        try:
            gone = self._client.keep(spool, frame.picture, record, key=frame.key, arrival=frame.arrival)
        except SpoolError as full:
            self._send(record | (said or {"error": f"{error} {full}"}))
            return
        self._send(record | said | {"kept": True, "reason": str(error)})
        for old in gone:
            self._send(old.context | {"error": "The spool was full before a server answered."})

    async def deliver(self) -> None:
        """Kept pictures, until it is cancelled. A picture is forgotten once its result is at every sink."""
        assert self._spool is not None
        failures = 0
        while True:
            kept, waits = None, False
            try:
                kept = self._spool.newest()
                if kept is None:
                    self._dark = ""  # nothing would find out that it has ended
                else:
                    waits = not await self._deliver_one(self._spool, kept)
            except ArtoveqError as error:
                waits = True
                self._dark = str(error) if isinstance(error, ServerUnavailable) else ""
                if not failures:
                    log.warning("Kept pictures have to wait: %s", error)
            failures = failures + 1 if waits else 0
            if kept is None or waits:
                await _pause(failures, LONGEST_PAUSE_S)

    async def _deliver_one(self, spool: Spool, kept: Kept) -> bool:
        """Whether its result is at every sink, and it is out of the spool.

        Raises:
            ArtoveqError: if it has to wait.
        """
        try:
            async with self._turn:
                answer = await self._client.deliver(kept, top_k=self._options.top_k)
        except ArtoveqError as error:
            self._tries += 1
            if is_waited_for(error, kept, self._client.encoder.manifest.fingerprint, self._tries):
                raise
            self._tries, self._dark = 0, ""
            self._send(kept.context | {"error": str(error)})
            spool.set_aside(kept, str(error))
            return True
        self._tries, self._dark = 0, ""
        self._send(kept.context | {"delivered": True, "point": kept.point, **answer.as_record()})
        if not await self._taken():
            return False
        spool.forget(kept)
        return True

    def _send(self, record: dict[str, Any]) -> None:
        for sink in self._sinks:
            sink.send(record)

    async def _taken(self) -> bool:
        """Waits for all sinks; whether none of them had to drop something."""
        return all([await sink.taken() for sink in self._sinks])


@contextlib.contextmanager
def _said(what: str) -> Any:
    """A spool that does not take part is no reason to end."""
    try:
        yield
    except SpoolError as error:
        log.warning("%s: %s", what, error)


async def _pause(failures: int, longest: float, hint: float = 0.0) -> None:
    """Longer with every failure, and with jitter, so that a fleet does not come back all at once.

    hint: seconds that the server asked for, at least.
    """
    await asyncio.sleep(max(hint, min(longest, FIRST_PAUSE_S * 2 ** min(failures, 16)) * random.uniform(0.5, 1)))
