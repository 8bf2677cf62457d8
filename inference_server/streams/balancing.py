"""Says to fellows how many streams this server has, hears how many they have, and lets some go where it has more."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from typing import Protocol

from inference_server.shared_answers import StoreAway
from inference_server.streams.balance import Balance
from inference_server.streams.fellows import Fellows, word_of
from inference_server.streams.streams import Streams

log = logging.getLogger(__name__)

EVERY_S = 1.0
"""Between two words; long before a fellow that is silent counts no more."""


class Board(Protocol):
    """Where each server has a word that all of them read. Every verb but `close` raises StoreAway."""

    async def say(self, name: bytes, word: bytes, forgotten: list[bytes]) -> dict[bytes, bytes]:
        """Puts ours, takes away those of the forgotten, and gives what others have said."""
        ...

    async def leave(self, name: bytes) -> None:
        """Takes ours away."""
        ...

    async def close(self) -> None:
        """Nothing more is said."""
        ...


class Balancing:
    """Of one server's streams. Use from the event loop only."""

    def __init__(self, board: Board, streams: Streams) -> None:
        self._board, self._streams = board, streams
        self._name, self._turn = secrets.token_hex(8).encode(), 0
        self._fellows, self._balance = Fellows(), Balance()
        self._forgotten: list[bytes] = []
        self._left = False

    async def run(self) -> None:
        """Until it leaves."""
        while not self._left:
            try:
                await self._speak()
            except StoreAway as error:  # nobody is known to have fewer then
                log.debug("Other servers cannot be heard (%s).", error.why)
            except Exception:
                log.exception("Streams could not be shared out.")
            await asyncio.sleep(EVERY_S)

    async def _speak(self) -> None:
        self._turn += 1
        own = self._streams.staying(time.monotonic())
        words = await self._board.say(self._name, word_of(self._turn, own), self._forgotten)
        now = time.monotonic()
        fellows, self._forgotten = self._fellows.hear(words, now)
        movable = self._streams.movable(now)
        if count := self._balance.streams_to_move(self._streams.staying(now), fellows, len(movable), now):
            log.info("%d of %d streams are told to move: other servers have %s.", count, own, sorted(fellows))
            for stream in movable[:count]:
                stream.move()

    async def leave(self) -> None:
        """Others count us no more; called before streams are ended."""
        self._left = True
        with contextlib.suppress(StoreAway):
            await self._board.leave(self._name)
        await self._board.close()
