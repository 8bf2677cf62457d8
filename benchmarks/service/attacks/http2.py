"""HTTP/2 piece by piece: what gRPC's own client would not do."""

from __future__ import annotations

import asyncio
import contextlib
import struct

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, Event, StreamEnded, StreamReset
from h2.exceptions import ProtocolError, TooManyStreamsError

from benchmarks.service.attacks.target import Target

READ_BYTES = 2**16


class Http2:
    """One connection. Its own windows are never filled: little comes back."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._news = asyncio.Event()
        self.ended: set[int] = set()
        """Streams that the server has ended."""
        self.closed = False

    async def open(self) -> Http2:
        self._reader, self._writer = await self._target.connect(self._target.port)
        self._h2.initiate_connection()
        self._flush()
        task = asyncio.create_task(self._read())
        self._target.stack.callback(task.cancel)
        return self

    def call(self, path: str) -> int | None:
        """Begins a call of gRPC without a token; its stream, None where the server allows no more."""
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ]
        try:
            stream = self._h2.get_next_available_stream_id()
            self._h2.send_headers(stream, headers)
        except TooManyStreamsError:
            return None
        self._flush()
        return stream

    async def push(self, stream: int, data: memoryview | bytes) -> bool:
        """Sends bytes as the windows allow; False where the stream, or the connection, has ended."""
        rest = memoryview(data)
        while rest:
            if self.closed or stream in self.ended:
                return False
            room = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size, len(rest))
            if room <= 0:
                self._news.clear()
                await self._news.wait()
                continue
            self._h2.send_data(stream, bytes(rest[:room]))
            rest = rest[room:]
            self._flush()
            await self._drain()
        return True

    def reset(self, stream: int) -> None:
        """Takes a call back."""
        self._h2.reset_stream(stream, ErrorCodes.CANCEL)
        self._flush()

    async def ping(self, number: int) -> None:
        """One that is not waited for."""
        self._h2.ping(struct.pack(">Q", number))
        self._flush()
        await self._drain()

    def _flush(self) -> None:
        if not self.closed:
            self._writer.write(self._h2.data_to_send())

    async def _drain(self) -> None:
        with contextlib.suppress(OSError):
            await self._writer.drain()

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(READ_BYTES):
                for event in self._h2.receive_data(data):
                    self._note(event)
                self._flush()
                self._news.set()
        except (OSError, ProtocolError) as error:
            self._target.refused(error)
        finally:
            self.closed = True
            self._news.set()

    def _note(self, event: Event) -> None:
        if isinstance(event, (StreamEnded, StreamReset)) and event.stream_id is not None:
            self._target.books.replies["refused" if isinstance(event, StreamEnded) else "reset"] += 1
            self.ended.add(event.stream_id)
        elif isinstance(event, ConnectionTerminated):
            self._target.books.replies["GOAWAY"] += 1
            self.closed = True
