"""A process that takes bytes and forgets them: what an attack costs where there is no service behind the port."""

from __future__ import annotations

import asyncio
import struct

from benchmarks.service.attacks.target import HOST

PREFACE = b"PRI * HTTP/2.0"
WINDOW = 2**31 - 1
RETURNED = 2**20
"""Bytes after which an HTTP/2 connection's window is given back."""
SETTINGS, WINDOW_UPDATE, INITIAL_WINDOW_SIZE = 4, 8, 4


class _Sink(asyncio.BufferedProtocol):
    """Never answers. HTTP/2's clients are given windows, since they would send nothing without."""

    def __init__(self) -> None:
        self._buffer = bytearray(2**18)
        self._taken: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._first = transport, True

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._first:
            self._first = False
            if self._buffer.startswith(PREFACE):
                self._taken = 0
                settings = struct.pack(">HI", INITIAL_WINDOW_SIZE, WINDOW)
                self._transport.write(_frame(SETTINGS, settings) + _window(WINDOW - 65535))
        if self._taken is not None:
            self._taken += nbytes
            if self._taken >= RETURNED:
                self._transport.write(_window(self._taken))
                self._taken = 0


def _frame(kind: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, 0, 0, 0, 0, 0]) + payload


def _window(by: int) -> bytes:
    return _frame(WINDOW_UPDATE, struct.pack(">I", by))


async def _main() -> None:
    server = await asyncio.get_running_loop().create_server(_Sink, HOST, 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main())
