"""What an attack works against: the server, or a sink that takes its bytes; and the books of one round."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import grpc

HOST, ELSEWHERE = "127.0.0.1", "127.0.0.2"
"""Where servers listen; where connections that carry no token come from, so that they are another caller's."""
OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_retries", 0),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
]
REST_S = 0.02


@dataclass
class Books:
    """What an attacker did in a round, and what it was told."""

    turns: int = 0
    sent_bytes: int = 0
    cpu_s: float = 0.0
    replies: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


class Target:
    """One round against one server.

    token: the attacker's own, for what only a known caller can do. pace: turns a second, 0 for as many as can be.
    patience: seconds that an answer is waited for; a sink gives none.
    """

    def __init__(
        self,
        *,
        port: int,
        http_port: int,
        model: str,
        token: str = "",
        seconds: float = 0.0,
        pace: float = 0.0,
        patience: float = 5.0,
    ) -> None:
        self.port, self.http_port, self.model, self.token = port, http_port, model, token
        self.patience, self.books, self.stack = patience, Books(), AsyncExitStack()
        self._next, self._step = time.monotonic(), 1 / pace if pace else 0.0
        self._until = time.monotonic() + seconds

    @property
    def over(self) -> bool:
        """Whether the round's time is up."""
        return time.monotonic() >= self._until

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Of a known caller's calls."""
        return (("authorization", f"Bearer {self.token}"),)

    async def turn(self, sent_bytes: int = 0) -> bool:
        """Waits until the next act is due, and counts it; False once the time is up."""
        due, self._next = self._next, self._next + self._step
        await asyncio.sleep(max(0.0, min(due, self._until) - time.monotonic()) if self._step else 0)
        if self.over:
            return False
        self.books.turns += 1
        self.books.sent_bytes += sent_bytes
        return True

    async def rest(self) -> bool:
        """A moment in which nothing is done; False once the time is up."""
        await asyncio.sleep(REST_S)
        return not self.over

    async def hear(self, answer: Awaitable[Any]) -> bool:
        """Notes what a call is answered with; whether it was taken."""
        try:
            await asyncio.wait_for(answer, self.patience)
        except asyncio.TimeoutError:
            self.books.replies["nothing"] += 1
            return True
        except (grpc.RpcError, asyncio.InvalidStateError, OSError) as error:
            self.refused(error)
            return False
        self.books.replies["OK"] += 1
        return True

    def refused(self, error: BaseException) -> None:
        """Notes why a call has failed."""
        code = error.code().name if isinstance(error, grpc.aio.AioRpcError) else type(error).__name__
        self.books.replies[code] += 1

    async def channel(self) -> grpc.aio.Channel:
        """A connection of its own, until the round ends."""
        return await self.stack.enter_async_context(grpc.aio.insecure_channel(f"{HOST}:{self.port}", options=OPTIONS))

    async def connect(self, port: int, *, known: bool = False) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A bare connection, until the round ends. known: from where the others come, since it carries a token."""
        source = HOST if known else ELSEWHERE
        reader, writer = await asyncio.open_connection(HOST, port, local_addr=(source, 0))
        self.stack.callback(_abort, writer)
        return reader, writer


def _abort(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(RuntimeError):
        writer.transport.abort()
