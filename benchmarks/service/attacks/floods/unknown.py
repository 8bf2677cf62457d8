"""By somebody without a token."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import struct
from typing import Any

from grpc_health.v1 import health_pb2
from h2.exceptions import H2Error

from benchmarks.service.attacks.http2 import Http2
from benchmarks.service.attacks.target import Target
from wire.generated import remote_inference_pb2 as pb

SERVICE = "/artoveq.v1.RemoteInferenceService"
WATCH = "/grpc.health.v1.Health/Watch"
FILE_BYTES, PIECE_BYTES = 16 * 2**20, 2**18
CONNECTIONS, STREAMS = 4, 25
WATCHERS = {8 * 2**20: 8, 1000: 1000}
"""How many of each CALLERS wants, by the bytes of their names."""
SILENT = 1200
"""Connections that say nothing, on each port: more than a process may open, unless it sees to that."""
SLOW, SLOW_S = 300, 0.3
"""Connections that say a byte this often."""
CALLERS = 16
WRONG_TOKEN = (("authorization", "Bearer " + 24 * "f"),)
UNREAD = 2000
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + bytes(b"a" * 4000)
BODY = b"POST /v1/predictions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n"


async def unfinished(target: Target) -> None:
    """A hundred messages of 16 MiB, of which the last byte never comes."""
    await asyncio.gather(*(_unfinished(target) for _ in range(CONNECTIONS)))


async def _unfinished(target: Target) -> None:
    message = memoryview(b"\0" + struct.pack(">I", FILE_BYTES) + bytes(FILE_BYTES - 1))

    async def one(connection: Http2, method: str) -> None:
        stream = connection.call(f"{SERVICE}/{method}")
        if stream is None:
            return
        for start in range(0, len(message), PIECE_BYTES):
            piece = message[start : start + PIECE_BYTES]
            if not (await target.turn(len(piece)) and await connection.push(stream, piece)):
                return
        while stream not in connection.ended and await target.rest():
            pass

    async def streams(connection: Http2, method: str) -> None:
        while not (target.over or connection.closed):
            await one(connection, method)
            await target.rest()

    while not target.over:
        with contextlib.suppress(OSError, H2Error):
            connection = await Http2(target).open()
            await asyncio.gather(*(streams(connection, ("PredictPicture", "Predict")[i % 2]) for i in range(STREAMS)))
        await target.rest()


async def health_watch(target: Target) -> None:
    """Watchers of the health of services with names as long as can be, and with names that are short enough."""
    watching: list[Any] = []

    async def watchers(watch: Any, size: int) -> None:
        for _ in range(WATCHERS[size]):
            request = health_pb2.HealthCheckRequest(service=os.urandom(8).hex().ljust(size, "x")).SerializeToString()
            if not await target.turn(len(request)):
                return
            call = watch(request)
            if await target.hear(call.read()):
                watching.append(call)

    sizes = [size for size in WATCHERS for _ in range(CALLERS)]
    channels = [await target.channel() for _ in sizes]
    await asyncio.gather(
        *(
            watchers(channel.unary_stream(WATCH, bytes, bytes), size)
            for channel, size in zip(channels, sizes, strict=True)
        )
    )
    while await target.rest():
        pass


async def silent(target: Target) -> None:
    """Connections to both ports that say nothing; whoever is put out comes again."""

    async def one(port: int) -> None:
        while not target.over:
            try:
                if not await target.turn():
                    return
                reader, writer = await target.connect(port)
                await reader.read(1)
                while not reader.at_eof() and await reader.read(2**16):
                    pass
                target.books.replies["closed"] += 1
                writer.close()
            except OSError as error:
                target.refused(error)
            await asyncio.sleep(0.2)

    await asyncio.gather(*(one(port) for port in (target.port, target.http_port) for _ in range(SILENT)))


async def slow_header(target: Target) -> None:
    """Requests whose header comes byte by byte, on HTTP's port, and HTTP/2's first words on gRPC's."""
    await asyncio.gather(
        *(_slowly(target, port, b"", said) for port, said in ((target.http_port, HEADER), (target.port, PREFACE))
          for _ in range(SLOW // 2))
    )  # fmt: skip


async def slow_body(target: Target) -> None:
    """Picture files that come byte by byte."""
    await asyncio.gather(*(_slowly(target, target.http_port, BODY, bytes(4000)) for _ in range(SLOW)))


async def _slowly(target: Target, port: int, first: bytes, rest: bytes) -> None:
    while not target.over:
        try:
            if not await target.turn(len(first)):
                return
            reader, writer = await target.connect(port)
            writer.write(first)
            for i in range(len(rest)):
                if not await target.turn(1) or reader.at_eof():
                    break
                writer.write(rest[i : i + 1])
                await writer.drain()
                await asyncio.sleep(SLOW_S)
            target.books.replies["closed"] += not target.over
        except OSError as error:
            target.refused(error)
        await target.rest()


async def pings(target: Target) -> None:
    """HTTP/2's pings, one after the other."""

    async def one() -> None:
        while not target.over:
            with contextlib.suppress(OSError, H2Error):
                connection = await Http2(target).open()
                for number in itertools.count():
                    if connection.closed or not await target.turn(17):
                        break
                    await connection.ping(number)
            await target.rest()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))


async def resets(target: Target) -> None:
    """Calls that are begun and taken back at once."""

    async def one() -> None:
        while not target.over:
            with contextlib.suppress(OSError, H2Error):
                connection = await Http2(target).open()
                while not connection.closed and await target.turn(200):
                    stream = connection.call(f"{SERVICE}/Predict")
                    if stream is not None:
                        connection.reset(stream)
            await target.rest()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))


async def refused(target: Target) -> None:
    """Calls with a token that nobody has, over gRPC and HTTP."""
    channel = await target.channel()
    call = channel.unary_unary(f"{SERVICE}/Predict", bytes, bytes)
    request = pb.PredictRequest(fingerprint=64 * "0", data=bytes(100)).SerializeToString()
    http = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ffffffffffffffffffffffff\r\n\r\n"

    async def over_grpc() -> None:
        while await target.turn(len(request)):
            await target.hear(call(request, metadata=WRONG_TOKEN))

    async def over_http() -> None:
        while not target.over:
            try:
                reader, writer = await target.connect(target.http_port)
                while await target.turn(len(http)):
                    writer.write(http)
                    await writer.drain()
                    if target.patience and not await reader.read(4096):
                        break
                    target.books.replies["HTTP"] += 1
            except OSError as error:
                target.refused(error)
            await target.rest()

    await asyncio.gather(*(over_grpc() for _ in range(CALLERS)), *(over_http() for _ in range(CONNECTIONS)))


async def unread(target: Target) -> None:
    """Requests whose answers, some 30 KB each, are not read."""
    request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20

    async def one() -> None:
        while not target.over:
            try:
                reader, writer = await target.connect(target.http_port)
                # Asyncio reads ahead whatever comes; only a paused transport does not.
                writer.transport.pause_reading()  # type: ignore[attr-defined]
                for _ in range(UNREAD // 20):
                    if not await target.turn(len(request)):
                        return
                    writer.write(request)
                    await writer.drain()
                while await target.rest() and not reader.at_eof():
                    pass
            except OSError as error:
                target.refused(error)
            await target.rest()

    await asyncio.gather(*(one() for _ in range(CALLERS)))
