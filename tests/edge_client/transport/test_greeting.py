"""Where gRPC hears nothing in time, the greeting of HTTP/2 tells who is there."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from edge_client.transport.greeting import GREETING, why_silent


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "is a port of HTTP, not of gRPC"),
        (b"\0\0\6\4\0\0\0\0\0\0\3\0\0\0\x64", "has too much to do"),
        (b"220 mail.example ESMTP\r\n", "is no port of gRPC"),
        (b"", "is no port of gRPC"),
    ],
)
def test_who_is_silent_is_named(answer: bytes, said: str) -> None:
    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(len(GREETING)) == GREETING
        writer.write(answer)
        writer.close()

    async def asked() -> str:
        async with await asyncio.start_server(answering, "127.0.0.1", 0) as server:
            return await why_silent(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", 5)

    sentence = asyncio.run(asked())
    assert said in sentence and "127.0.0.1:" in sentence


def test_where_nobody_is_no_packet_comes_back() -> None:
    for address in ("127.0.0.1:9", "without a port"):
        assert "No packet comes back" in asyncio.run(why_silent(address, 5))


def test_one_who_says_nothing_is_not_waited_for_long() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            await reader.read()

    async def asked() -> str:
        async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
            return await why_silent(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", 0.05)

    assert "takes connections and says nothing within 0.05 s" in asyncio.run(asked())
