"""`shared_answers.Store` and `streams.balancing.Board` in Redis 7 or Valkey."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable
from typing import TypeVar, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from inference_server.shared_answers import StoreAway
from wire.exceptions import SettingsError
from wire.shown import shown, without_secrets

T = TypeVar("T")

PREFIX = b"artoveq:answer:"
WORDS, WORDS_S = b"artoveq:streams", 3600
"""A hash of what servers say of their streams, which goes when they all are gone for so long."""
CONNECTIONS = 64
RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('del', KEYS[1]) end"


class RedisStore:
    """At a URL: redis://, rediss:// or unix://. seconds: that it may take for an answer.

    Raises:
        SettingsError: if the URL is none.
    """

    def __init__(self, url: str, seconds: float) -> None:
        self._seconds = seconds
        try:
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS,
                timeout=seconds,
                socket_timeout=seconds,
                socket_connect_timeout=seconds,
                retry=Retry(NoBackoff(), 1),  # for a connection that was lost while nobody used it
            )
        except ValueError as error:
            raise SettingsError(
                f"{without_secrets(url)!r} is no store of answers; write redis://HOST:PORT/0, rediss:// or unix://."
            ) from error
        self._redis = Redis(connection_pool=pool)

    async def claim(self, caller: str, key: bytes, value: bytes, seconds: float) -> bytes | None:
        """SET NX GET: one way there and back."""
        found = self._redis.set(_name(caller, key), value, nx=True, get=True, px=round(1000 * seconds))
        return cast("bytes | None", await self._answer(found))

    async def put(self, caller: str, key: bytes, value: bytes, seconds: float) -> None:
        """SET."""
        await self._answer(self._redis.set(_name(caller, key), value, px=round(1000 * seconds)))

    async def release(self, caller: str, key: bytes, value: bytes) -> None:
        """As a script, so that nothing comes between."""
        await self._answer(self._redis.eval(RELEASE, 1, _name(caller, key), value))

    async def say(self, name: bytes, word: bytes, forgotten: list[bytes]) -> dict[bytes, bytes]:
        """As `streams.balancing.Board`: HSET and HGETALL, one way there and back."""
        asked = self._redis.pipeline(transaction=False)
        asked.hset(WORDS, name, word)
        asked.expire(WORDS, WORDS_S)
        if forgotten:
            asked.hdel(WORDS, *forgotten)
        asked.hgetall(WORDS)
        words: dict[bytes, bytes] = (await self._answer(asked.execute()))[-1]
        return {other: said for other, said in words.items() if other != name}

    async def leave(self, name: bytes) -> None:
        """HDEL."""
        await self._answer(self._redis.hdel(WORDS, name))

    async def close(self) -> None:
        """Closes the connections."""
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    async def _answer(self, question: Awaitable[T]) -> T:
        try:
            return await asyncio.wait_for(question, self._seconds)
        except asyncio.TimeoutError:
            raise StoreAway(f"no answer in {self._seconds:g} s") from None
        except (RedisError, OSError) as error:
            raise StoreAway(shown(without_secrets(str(error)))) from error


def _name(caller: str, key: bytes) -> bytes:
    """Of one length, and telling nothing of either."""
    return PREFIX + hashlib.sha256(hashlib.sha256(caller.encode()).digest() + key).digest()
