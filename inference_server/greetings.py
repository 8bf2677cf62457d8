"""How a call or a stream begins: with one message, whole, in time, of few that a host may owe."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from google.protobuf.message import DecodeError, Message

from inference_server.settings import Settings
from wire.exceptions import ProtocolError, ServerOverloaded

UNREADABLE = "The bytes are not a message of remote_inference.proto."


class Waiting:
    """What hosts have begun and not finished: at most so much of each."""

    def __init__(self, most: int, what: str) -> None:
        self._most, self._what = most, what
        self._of: Counter[str] = Counter()

    @contextlib.contextmanager
    def one(self, host: str) -> Iterator[None]:
        """One more of the host's, until the block ends.

        Raises:
            ServerOverloaded: if there are too many.
        """
        if self._of[host] >= self._most:
            raise ServerOverloaded(f"{host} has {self._most} {self._what} already; finish one.")
        self._of[host] += 1
        try:
            yield
        finally:
            self._of[host] -= 1
            if not self._of[host]:
                del self._of[host]


class Greetings:
    """First messages, of all that reach the server by whatever way."""

    def __init__(self, settings: Settings) -> None:
        self._seconds = settings.greeting_seconds
        self._owed = Waiting(settings.host_calls, "calls whose request has not arrived")

    async def first(self, requests: AsyncIterator[Any], host: str, wait: float = 0.0) -> Any:
        """The first message of a call; None where the bytes are no message, or the caller says nothing at all.

        host: whom the call comes from. wait: seconds until it is read.

        Raises:
            ServerOverloaded: if the host owes too many.
            ProtocolError: if it does not come in time.
        """
        with self._owed.one(host):
            if wait:
                await asyncio.sleep(wait)
            try:
                return await asyncio.wait_for(anext(aiter(requests), None), self._seconds)
            except asyncio.TimeoutError:
                raise ProtocolError(f"The request did not arrive within {self._seconds:g} s; send it again.") from None


def or_none(parse: Callable[[bytes], Message]) -> Callable[[bytes], Any]:
    """The same, but None for bytes that are no message."""

    def parsed(data: bytes) -> Any:
        try:
            return parse(data)
        except DecodeError:
            return None

    return parsed
