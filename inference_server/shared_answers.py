"""Answers that replicas remember together: a picture that is sent again is decoded and counted once, by whichever of
them it comes to first."""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
from collections.abc import Awaitable, Callable
from typing import Protocol

from inference_server import metrics
from inference_server.idempotency import OTHER
from inference_server.settings import Settings
from wire.exceptions import ProtocolError, ServerUnavailable, SettingsError

log = logging.getLogger(__name__)

CLAIM_S = 10.0
"""In which an answer is made; after that another replica may make it, since the first has probably died."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.01, 0.2
"""Between two looks at what another replica is making; each pause is twice the one before."""
LEFT_ALONE_S = 1.0
"""For so long a store that did not answer is not asked, where answers go without it: none shall wait for it in vain."""
ASKED_BYTES = 32
MAKING, MADE = b"\0", b"\1"
"""How values begin; then what is asked follows, as a SHA-256, then the answer, or bytes that are the claimant's own."""


class StoreAway(ServerUnavailable):
    """The store does not answer, or not in time."""

    def __init__(self, why: str) -> None:
        super().__init__("The server cannot look up whether it has answered this already; send it again later.")
        self.why = why


class Store(Protocol):
    """Bytes by caller and key, each kept for some seconds. Every verb but `close` raises StoreAway."""

    async def claim(self, caller: str, key: bytes, value: bytes, seconds: float) -> bytes | None:
        """Puts a value where there is none; else what is there."""
        ...

    async def put(self, caller: str, key: bytes, value: bytes, seconds: float) -> None:
        """Puts a value, whatever is there."""
        ...

    async def release(self, caller: str, key: bytes, value: bytes) -> None:
        """Takes a value away, if it is still this one."""
        ...

    async def close(self) -> None:
        """Nothing more is asked."""
        ...


class SharedAnswers:
    """Makes an answer or takes it from the store. Use from one event loop.

    seconds: for which an answer is kept. required: whether nothing is answered without the store.
    """

    def __init__(self, store: Store, *, seconds: float, required: bool) -> None:
        self._store, self._seconds, self._required = store, seconds, required
        self._left_alone_until = -math.inf

    async def get(self, caller: str, key: bytes, asked: bytes, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """The answer for a caller's `key`.

        asked: a SHA-256 of what is asked, to which the key is bound. An answer that fails is not kept.

        Raises:
            ProtocolError: if something else was asked with this key.
            StoreAway: if the store is, and is required.
        """
        claim = MAKING + asked + secrets.token_bytes(16)
        try:
            made = await self._claimed(caller, key, claim, asked)
        except StoreAway as error:
            self._missed(error)
            if self._required:
                raise
            return await make()
        if made is not None:
            return made
        try:
            answer = await make()
        except BaseException:
            await self._tried(self._store.release(caller, key, claim))
            raise
        await self._tried(self._store.put(caller, key, MADE + asked + answer, self._seconds))
        return answer

    async def close(self) -> None:
        """Nothing more is asked."""
        await self._store.close()

    async def _claimed(self, caller: str, key: bytes, claim: bytes, asked: bytes) -> bytes | None:
        """The answer, once it is made; None where it is ours to make."""
        if not self._required and asyncio.get_running_loop().time() < self._left_alone_until:
            raise StoreAway("it was asked a moment ago")
        pause = FIRST_PAUSE_S
        while (found := await self._store.claim(caller, key, claim, CLAIM_S)) is not None:
            state, of, answer = found[:1], found[1 : 1 + ASKED_BYTES], found[1 + ASKED_BYTES :]
            if state not in (MAKING, MADE) or len(of) < ASKED_BYTES:
                raise StoreAway("it has a value that is none of ours")
            if of != asked:
                raise ProtocolError(OTHER)
            if state == MADE:
                return answer
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
        return None

    async def _tried(self, question: Awaitable[None]) -> None:
        """What is made is answered, whatever becomes of this."""
        try:
            await question
        except StoreAway as error:
            self._missed(error)

    def _missed(self, error: StoreAway) -> None:
        metrics.STORE_AWAY.inc()
        now = asyncio.get_running_loop().time()
        if now >= self._left_alone_until:
            without = "keys are refused" if self._required else "answers are given without it"
            log.warning("The store of answers is away (%s); %s meanwhile.", error.why, without)
            self._left_alone_until = now + LEFT_ALONE_S


def shared_answers(settings: Settings) -> SharedAnswers | None:
    """As the settings want it; None where each server remembers on its own.

    Raises:
        SettingsError: if the store's address is none, or its package is missing.
    """
    if not settings.store:
        return None
    try:
        from inference_server.redis_store import RedisStore
    except ImportError as error:
        raise SettingsError("A store of answers wants a package more; run `pip install 'artoveq[redis]'`.") from error
    store = RedisStore(settings.store, settings.store_seconds)
    return SharedAnswers(store, seconds=settings.store_keeps_seconds, required=settings.store_away == "refuse")
