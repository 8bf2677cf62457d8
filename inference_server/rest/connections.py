"""HTTP's connections: how many, and how long one may take to ask, and to hear the answer.

A connection waits until its request has come whole; then it is served, then it waits for the next one. One that waits
too long is closed, and of too many the one that has waited longest goes, so that who asks at once is always heard.
Nobody keeps the others from the event loop: a body is read once it is asked for, which is when its caller is known and
has its turn; and who sends a few bytes at a time is read once a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from inference_server.rest.acceptance import Acceptance, Listener
from inference_server.rest.problems import MEDIA_TYPE, STOPPING, body_of
from inference_server.rest.sockets import Socket

LINGER_S = 2.0
"""For what is still sent to a request that has its answer: hung up on at once, a caller would not read why."""
DRIP_BYTES, DRIPS, DRIP_S = 64, 4, 1.0
"""Who has sent fewer bytes so often, one after the other, is read this often."""
STOPPED = "The server has stopped; ask again, or ask another one."
LAST_S = 0.3
"""For what is said last to go out."""


class Connection(H11Protocol):
    """One connection. Its seconds: for headers, for a body, or for an answer to be read."""

    def __init__(self, listener: Listener, greeting_seconds: float, upload_seconds: float, **given: Any) -> None:
        super().__init__(**given)
        self._listener, self._greeting_s, self._upload_s = listener, greeting_seconds, upload_seconds
        self._phase = ""
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._dripped: asyncio.TimerHandle | None = None
        self._drips = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._number = transport.get_extra_info("socket").fileno()
        self._follow()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._follow()
        self._drips = self._drips + 1 if len(data) < DRIP_BYTES and self._phase != "served" else 0
        if self._drips > DRIPS and not self.transport.is_closing():
            self.flow.pause_reading()
            self._dripped = self.loop.call_later(DRIP_S, self.flow.resume_reading)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Until the first message the connection waits, as one without a request does; then it is served."""
        super().handle_websocket_upgrade(event)
        socket = self.transport.get_protocol()
        assert isinstance(socket, Socket)
        socket.follow(self._upload_s, lambda: self._listener.serves(self._number))
        if self._deadline is not None:
            self._deadline.cancel()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._follow()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for timer in (self._deadline, self._unread, self._dripped):
            if timer is not None:
                timer.cancel()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(self._upload_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()

    def cut(self) -> None:
        """Hangs up; who has not been answered is told why."""
        if self.cycle is None or self.cycle.response_started or self.transport.is_closing():
            self.transport.abort()
            return
        body = json.dumps(body_of(STOPPING, STOPPED)).encode()
        headers = {"Content-Type": MEDIA_TYPE, "Content-Length": str(len(body)), "Connection": "close"}
        answer = h11.Response(status_code=503, reason=b"Service Unavailable", headers=list(headers.items()))
        for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event))
        self.transport.close()

    def _follow(self) -> None:
        """Sets the deadline of the phase that the connection is in, where that has changed."""
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return
        theirs, phase, seconds = self.conn.their_state, "served", 0.0
        if theirs is h11.IDLE:
            phase, seconds = "headers", self._greeting_s
        elif theirs is h11.SEND_BODY:
            answered = self.cycle.response_complete
            phase, seconds = ("rest", LINGER_S) if answered else ("body", self._upload_s + LINGER_S)
        if phase == self._phase:
            return
        self._phase = phase
        if phase == "body":
            self.flow.pause_reading()
        if self._deadline is not None:
            self._deadline.cancel()
        if phase == "served":
            self._deadline = None
            self._listener.serves(self._number)
        else:
            self._deadline = self.loop.call_later(seconds, self.transport.abort)
            self._listener.waits(self._number)


class HttpServer(uvicorn.Server):
    """uvicorn with such connections, and without its signal handlers: one place hears signals, and it is `serve`."""

    def __init__(self, config: uvicorn.Config, *, greeting_seconds: float, upload_seconds: float) -> None:
        super().__init__(config)
        self._seconds = (greeting_seconds, upload_seconds)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens on these, which are `Listener`s."""
        await self.lifespan.startup()
        self.servers = []
        for one in sockets or []:
            assert isinstance(one, Listener)
            made = self._connections(one)
            self.servers.append(Acceptance(one, made, self.config.ssl, self._seconds[0]))  # type: ignore[arg-type]
        self.started = True

    def _connections(self, listener: Listener) -> Any:
        def connection() -> Connection:
            return Connection(
                listener,
                *self._seconds,
                config=self.config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
            )

        return connection

    async def end(self, serving: asyncio.Task[None], seconds: float) -> None:
        """Takes no new requests, answers those that are there for so long at most, and hangs up on the others."""
        self.should_exit = True
        await asyncio.wait({serving}, timeout=seconds)
        for connection in list(self.server_state.connections):
            assert isinstance(connection, Connection | Socket)
            connection.cut()
        await asyncio.wait({serving}, timeout=LAST_S)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.wait({serving}, timeout=LAST_S)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
