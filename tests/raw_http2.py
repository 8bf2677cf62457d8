"""HTTP/2 by hand, for what no well-behaved client does: calls that are begun and not finished, pings at any pace."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
MAX_CONCURRENT_STREAMS, INITIAL_WINDOW = 3, 4
FRAME_BYTES = 16384


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def message(data: bytes, announced: int | None = None) -> bytes:
    """A message of gRPC, or the beginning of one of which more is announced."""
    return b"\0" + struct.pack(">I", len(data) if announced is None else announced) + data


class Http2:
    """A connection to a gRPC server; `frames` has what came."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._received, self._next = b"", 1
        self._windows: dict[int, int] = {0: 65535}
        self.settings: dict[int, int] = {INITIAL_WINDOW: 65535}
        self.frames: list[tuple[int, int, bytes]] = []
        """Kind, stream, payload."""
        self.closed = False
        self._socket.sendall(PREFACE + frame(SETTINGS, 0, 0))
        self.until(lambda: len(self.settings) > 1)

    def __enter__(self) -> Http2:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def call(self, method: str) -> int:
        """Begins a call; its stream."""
        named = [(":method", "POST"), (":scheme", "http"), (":path", method), (":authority", "x")]
        named += [("te", "trailers"), ("content-type", "application/grpc")]
        stream, self._next = self._next, self._next + 2
        self._windows[stream] = self.settings[INITIAL_WINDOW]
        self._socket.sendall(frame(HEADERS, 4, stream, b"".join(_literal(*pair) for pair in named)))
        return stream

    def send(self, stream: int, data: bytes) -> int:
        """As much of it as the server's windows allow now; how much that was."""
        taken = min(len(data), self._windows[0], self._windows[stream])
        for at in range(0, taken, FRAME_BYTES):
            self._socket.sendall(frame(DATA, 0, stream, data[at : min(at + FRAME_BYTES, taken)]))
        self._windows[0] -= taken
        self._windows[stream] -= taken
        return taken

    def ping(self) -> None:
        self._socket.sendall(frame(PING, 0, 0, bytes(8)))

    def of(self, kind: int) -> list[bytes]:
        """Payloads of the frames of a kind that have come."""
        return [payload for one, _, payload in self.frames if one == kind]

    def until(self, done: Callable[[], Any], seconds: float = 10.0) -> bool:
        """Reads until something is so, the server hangs up, or time is over; whether it is so."""
        end = time.monotonic() + seconds
        while not done() and not self.closed and (left := end - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                break
            except OSError:
                data = b""
            self.closed = not data
            self._received += data
            for kind, flags, stream, payload in self._split():
                self._take(kind, flags, stream, payload)
        return bool(done())

    def _split(self) -> Iterator[tuple[int, int, int, bytes]]:
        while len(self._received) >= 9:
            size, stream = int.from_bytes(self._received[:3], "big"), int.from_bytes(self._received[5:9], "big")
            if len(self._received) < 9 + size:
                return
            kind, flags, payload = self._received[3], self._received[4], self._received[9 : 9 + size]
            self._received = self._received[9 + size :]
            yield kind, flags, stream, payload

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        self.frames.append((kind, stream, payload))
        if kind == WINDOW and stream in self._windows:
            self._windows[stream] += int.from_bytes(payload, "big")
        elif kind == SETTINGS and not flags & 1:
            self.settings |= {key: value for key, value in struct.iter_unpack(">HI", payload)}
            self._socket.sendall(frame(SETTINGS, 1, 0))
        elif kind == PING and not flags & 1:
            self._socket.sendall(frame(PING, 1, 0, payload))


def _literal(name: str, value: str) -> bytes:
    return b"\0" + b"".join(bytes([len(text)]) + text.encode() for text in (name, value))
