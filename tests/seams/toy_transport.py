"""A transport: messages with their lengths over a socket of the operating system, without gRPC."""

from __future__ import annotations

import asyncio

from edge_client.transport.base import Metadata
from wire.exceptions import ServerUnavailable
from wire.generated import remote_inference_pb2 as pb

LENGTH_BYTES = 4


class SocketTransport:
    """To whoever listens on a Unix socket at `path`, and speaks the same."""

    overhead_bytes, acknowledgement_bytes = LENGTH_BYTES, 0

    def __init__(self, path: str) -> None:
        self._path = path

    async def open(self, metadata: Metadata) -> None:
        """Connects."""
        try:
            self._reader, self._writer = await asyncio.open_unix_connection(self._path)
        except OSError as error:
            raise ServerUnavailable(f"Nobody listens at {self._path} ({error}); start the server.") from error

    async def send(self, message: pb.StreamRequest) -> None:
        """Its length, and the message."""
        self._writer.write(framed(message.SerializeToString()))
        await self._writer.drain()

    async def receive(self) -> pb.StreamResponse:
        """The next one."""
        data = await read(self._reader)
        if data is None:
            raise ServerUnavailable(f"The server at {self._path} has gone; start it again.")
        return pb.StreamResponse.FromString(data)

    async def close(self) -> None:
        """Ends the stream."""
        self._writer.close()


def framed(data: bytes) -> bytes:
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


async def read(reader: asyncio.StreamReader) -> bytes | None:
    try:
        length = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
        return await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
