"""From one server to another, while pictures go on: the new stream is opened first, the old one ends last."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import grpc

from edge_client.connection import Connection
from edge_client.request import PATIENCE_S
from wire.exceptions import ArtoveqError

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 30.0
"""Between two attempts; each pause is twice the one before."""
OpenBeside = Callable[[Connection, str], Awaitable[grpc.aio.Channel | None]]
"""Opens a stream that is used from now on in place of an old one, with the model of a fingerprint, where that is not
empty; gives the old one's channel, where that is left, too. Raises ArtoveqError."""


class Moves:
    """Streams that the server wants to go elsewhere. Where nobody else answers they go on, and it is tried again."""

    def __init__(self, open_beside: OpenBeside) -> None:
        self._open_beside = open_beside
        self._tasks: dict[Connection, asyncio.Task[None]] = {}
        self._fingerprints: dict[Connection, str] = {}

    def begin(self, old: Connection, fingerprint: str) -> None:
        """This one; where it is at it already, what it was told last counts."""
        if fingerprint or old not in self._tasks:
            self._fingerprints[old] = fingerprint
        if old not in self._tasks:
            self._tasks[old] = task = asyncio.create_task(self._move(old))
            task.add_done_callback(lambda _: self._ended(old))

    async def end(self) -> None:
        """Closes old streams, whatever is open on them."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, old: Connection) -> None:
        del self._tasks[old], self._fingerprints[old]

    async def _move(self, old: Connection) -> None:
        pause = FIRST_PAUSE_S
        while old.broken is None:
            try:
                left = await self._open_beside(old, self._fingerprints[old])
            except ArtoveqError as error:
                log.info("The edge stays on its stream: %s", error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
                continue
            try:
                await old.finish()
            finally:
                if old.broken is None:
                    await old.close()
                if left is not None:
                    await left.close(PATIENCE_S)  # of a call that is under way on it
