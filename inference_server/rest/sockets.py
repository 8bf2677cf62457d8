"""WebSockets' connections: nobody's takes more memory than a few messages, or the event loop for long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

PIECE_BYTES = 2048
"""What is read of one connection in one round of the event loop: thousands of messages may come at once."""
MOST_FRAMES = 64
"""Of one message; else empty ones could be heaped up without end."""
LINGER_S = 2.0
"""For the other end to hear the end: hung up on in the midst of its writing, it would not read why."""
STOPPING = 4014
"""4000 and UNAVAILABLE."""


class Socket(WebSocketsSansIOProtocol):
    """One WebSocket, once `follow` was called.

    While a message waits to be taken, or what is said is not read, nothing is read: a slow one slows itself alone.
    """

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.close_timeout = LINGER_S
        self._unfed, self._fed_soon, self._failed = b"", False, False
        self._unread: asyncio.TimerHandle | None = None
        self._greeted: Callable[[], None] | None = None

    def follow(self, unread_s: float, greeted: Callable[[], None]) -> None:
        """unread_s: in which what is said must be read. greeted: is called once a message has come."""
        self._unread_s, self._greeted = unread_s, greeted

    def data_received(self, data: bytes) -> None:
        if self._failed:
            return
        self._unfed += data
        if not self._fed_soon:
            self._feed()

    def _feed(self) -> None:
        self._fed_soon = False
        if self._may_feed():
            piece, self._unfed = self._unfed[:PIECE_BYTES], self._unfed[PIECE_BYTES:]
            super().data_received(piece)
        self._go_on()

    def _may_feed(self) -> bool:
        return bool(self._unfed) and not self.read_paused and self.writable.is_set() and not self.transport.is_closing()

    def _go_on(self) -> None:
        if self._may_feed() and not self._fed_soon:
            self._fed_soon = True
            self.loop.call_soon(self._feed)
        if self._unfed or self.read_paused or not self.writable.is_set():
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    async def receive(self) -> Any:
        await self.writable.wait()
        message = await self.queue.get()
        if self.queue.empty():
            self.read_paused = False
            self._go_on()
        return message

    async def send(self, message: Any) -> None:
        await super().send(message)
        self._go_on()

    def handle_text(self, event: Frame) -> None:
        self._end(CloseCode.UNSUPPORTED_DATA, "Messages are binary.")

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) < MOST_FRAMES:
            super().handle_cont(event)
        else:
            self.frames = []
            self._end(CloseCode.POLICY_VIOLATION, f"A message has at most {MOST_FRAMES} frames.")

    def send_receive_event_to_app(self) -> None:
        super().send_receive_event_to_app()
        if self._greeted is not None:
            self._greeted()
            self._greeted = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(self._unread_s, self.transport.abort)
        self._go_on()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._read()
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unfed = b""
        self._read()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server is about to end; streams end by themselves."""
        if self._greeted is not None:
            self.cut()

    def cut(self) -> None:
        """Hangs up."""
        if self.handshake_complete and not self.close_sent and not self.transport.is_closing():
            self._end(STOPPING, "The server has stopped; ask again, or ask another one.")
        self.transport.close()

    def _read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _end(self, code: int, reason: str) -> None:
        """Says why, and passes over what comes until the other end has heard it."""
        if not self.close_sent:
            self.conn.send_close(code, reason)
            self._ended(code)

    def handle_parser_exception(self) -> None:
        """What comes is no WebSocket's any more."""
        assert self.conn.close_sent is not None
        self._failed, self._unfed = True, b""
        self._ended(self.conn.close_sent.code)

    def _ended(self, code: int) -> None:
        self.close_sent = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_timer = self.loop.call_later(LINGER_S, self.transport.close)
