"""From one server to another, while pictures go on: the new stream is opened first, the old one ends last."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import grpc

from edge_client.connection import Connection
from edge_client.request import PATIENCE_S
from wire.exceptions import ServerError

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 30.0
"""Between two attempts; each pause is twice the one before."""
OpenBeside = Callable[[Connection], Awaitable[grpc.aio.Channel | None]]
"""Opens a stream that is used from now on in place of an old one; gives the old one's channel, where that is left, too.
Raises ServerError."""


class Moves:
    """Streams that the server wants to go elsewhere. Where nobody else answers they go on, and it is tried again."""

    def __init__(self, open_beside: OpenBeside) -> None:
        self._open_beside = open_beside
        self._tasks: dict[Connection, asyncio.Task[None]] = {}

    def begin(self, old: Connection) -> None:
        """This one, unless it is at it already."""
        if old not in self._tasks:
            self._tasks[old] = task = asyncio.create_task(self._move(old))
            task.add_done_callback(lambda _: self._tasks.pop(old))

    async def end(self) -> None:
        """Closes old streams, whatever is open on them."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _move(self, old: Connection) -> None:
        pause = FIRST_PAUSE_S
        while old.broken is None:
            try:
                left = await self._open_beside(old)
            except ServerError:
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
