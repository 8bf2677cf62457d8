"""The loop of `artoveq watch`: the newest frame when the link is ready, one result for each that was taken."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, cast

from artoveq.watch.frames import Frame
from artoveq.watch.sinks import Sink
from edge_client import AsyncClient, Kept, Result, Spool
from edge_client.modes import Mode
from wire.exceptions import ArtoveqError, ServerError, ServerOverloaded, ServerUnavailable, SpoolError

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 10.0
SPOOLING_PAUSE_S = 1.0
"""With a spool a frame is worth taking while no server answers."""


@dataclass(frozen=True)
class Options:
    """How frames are sent. report: the server's page is told; thumbnail: it is shown the frame, too."""

    mode: Mode
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

    While no server answers, each frame that was taken is reported as failed, or, with a spool, kept and answered
    later: the newest first, and turn by turn with new frames.
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
        self._failures = 0

    async def take(self, frame: Frame) -> None:
        """One frame: a result, or a failure and a pause."""
        record: dict[str, Any] = {
            "frame": frame.number,
            "source": frame.name,
            "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "age_ms": round(1000 * frame.age, 1),
        }
        try:
            async with self._turn:
                result = await self._predict(frame)
        except ServerError as error:
            self._failed(frame, record, error)
            self._failures += 1
            hint = error.retry_after if isinstance(error, ServerOverloaded) else 0.0
            await _pause(self._failures, SPOOLING_PAUSE_S if self._spool is not None else LONGEST_PAUSE_S, hint)
            return
        self._failures = 0
        self._send(record | result.as_record())
        if self._options.report:
            await self._client.report(result, frame.picture, thumbnail=self._options.thumbnail)

    async def deliver(self) -> None:
        """Kept pictures, until it is cancelled. A picture is forgotten once its result has been sent."""
        assert self._spool is not None
        failures = 0
        while True:
            kept = None
            try:
                kept = self._spool.newest()
                if kept is not None:
                    await self._deliver_one(kept)
                    self._spool.forget(kept)
                failures = 0
            except (ServerUnavailable, ServerOverloaded, SpoolError) as error:
                if not failures:
                    log.warning("Kept pictures have to wait: %s", error)
                failures += 1
            if kept is None or failures:
                await _pause(failures, LONGEST_PAUSE_S)

    async def _deliver_one(self, kept: Kept) -> None:
        try:
            async with self._turn:
                answer = await self._client.deliver(kept, top_k=self._options.top_k)
        except (ServerUnavailable, ServerOverloaded):
            raise
        except ArtoveqError as error:  # it will never be answered
            self._send(kept.context | {"error": str(error)})
            return
        self._send(kept.context | {"delivered": True, "point": kept.point, **answer.as_record()})

    async def _predict(self, frame: Frame) -> Result:
        options = self._options
        return await self._client.predict(frame.picture, options.mode, budget=options.budget, top_k=options.top_k)

    def _failed(self, frame: Frame, record: dict[str, Any], error: ServerError) -> None:
        if self._spool is None or not isinstance(error, (ServerUnavailable, ServerOverloaded)):
            self._send(record | {"error": str(error)})
            return
        try:
            gone = self._client.keep(self._spool, frame.picture, record)
        except SpoolError as full:
            self._send(record | {"error": f"{error} {full}"})
            return
        self._send(record | {"kept": True, "reason": str(error)})
        for old in gone:
            self._send(old.context | {"error": "The spool was full before a server answered."})

    def _send(self, record: dict[str, Any]) -> None:
        for sink in self._sinks:
            sink.send(record)


async def _pause(failures: int, longest: float, hint: float = 0.0) -> None:
    """Longer with every failure, and with jitter, so that a fleet does not come back all at once.

    hint: seconds that the server asked for, at least.
    """
    await asyncio.sleep(max(hint, min(longest, FIRST_PAUSE_S * 2 ** min(failures, 16)) * random.uniform(0.5, 1)))
