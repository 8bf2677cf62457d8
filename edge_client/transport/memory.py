"""A transport without sockets: an emulated link inside the process, in the event loop's time.

In an ordinary loop that is real time. In a `VirtualTimeLoop` the time jumps to whatever is due next, so that an hour
of a link takes as long as its pictures take to compute:

    run_in_virtual_time(an_hour_of_pictures())
"""

from __future__ import annotations

import asyncio
import selectors
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from edge_client.transport.base import Metadata
from edge_client.transport.emulated import UNLIMITED, Shaper
from wire.exceptions import ArtoveqError, ServerUnavailable
from wire.generated import remote_inference_pb2 as pb

T = TypeVar("T")

Respond = Callable[[pb.StreamResponse | ArtoveqError], None]
"""Sends a response to the edge, or, with an error, ends the stream."""
Peer = Callable[[Respond], Callable[[pb.StreamRequest | None], None]]
"""A server: called for each stream with what takes its responses; gives what takes the requests, None at their end."""


class MemoryTransport:
    """`edge_client.transport.base.Transport` to a peer in this process.

    up, down: what shapes either direction; several transports may share one, as flows share a link.
    """

    def __init__(
        self, peer: Peer, up: Shaper | None = None, down: Shaper | None = None, *, overhead_bytes: int = 66
    ) -> None:
        self._peer = peer
        self._up, self._down = up or Shaper(UNLIMITED), down or Shaper(UNLIMITED)
        self.overhead_bytes, self.acknowledgement_bytes = overhead_bytes, 0
        self._upward: deque[pb.StreamRequest] = deque()
        self._downward: deque[pb.StreamResponse] = deque()
        self._arrived: asyncio.Queue[pb.StreamResponse | ArtoveqError] = asyncio.Queue()
        self._ended: ArtoveqError | None = None

    async def open(self, metadata: Metadata) -> None:
        """Connects at once."""
        self._loop = asyncio.get_running_loop()
        self._deliver = self._peer(self._respond)

    async def send(self, message: pb.StreamRequest) -> None:
        """One message, which arrives when the link has carried it."""
        if self._ended is not None:
            raise self._ended
        bits = 8 * (message.ByteSize() + self.overhead_bytes)
        self._upward.append(message)  # a timer each keeps no order where two are due at once
        self._loop.call_at(self._up.arrives(self._loop.time(), bits), lambda: self._deliver(self._upward.popleft()))

    async def receive(self) -> pb.StreamResponse:
        """The next response."""
        response = await self._arrived.get()
        if isinstance(response, ArtoveqError):
            raise response
        return response

    async def close(self) -> None:
        """The peer sees the end at once."""
        if self._ended is None:
            self._end(ServerUnavailable("The connection was closed."))
            self._deliver(None)

    def _respond(self, response: pb.StreamResponse | ArtoveqError) -> None:
        if isinstance(response, ArtoveqError):
            self._end(response)
        elif self._ended is None:
            bits = 8 * (response.ByteSize() + self.overhead_bytes)
            self._downward.append(response)
            self._loop.call_at(
                self._down.arrives(self._loop.time(), bits),
                lambda: self._arrived.put_nowait(self._downward.popleft()),
            )

    def _end(self, reason: ArtoveqError) -> None:
        self._ended = reason
        self._arrived.put_nowait(reason)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time begins at 0 and moves only where everything waits for it."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self.now


class _Jumping(selectors.SelectSelector):
    """Passes the time that the loop would sleep for; nothing but time can wake it."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("Everything waits for something that cannot happen; await what is still to come.")
        self._loop.now += timeout
        return []


def run_in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, without waiting. Nothing in it may wait for a thread or a socket."""
    loop = VirtualTimeLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
