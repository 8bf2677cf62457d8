"""By a caller with a token of its own, against the others."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import grpc

from benchmarks.service.attacks.target import HOST, Target
from benchmarks.service.load import Counts, LoadStream, Payloads
from wire.generated import remote_inference_pb2 as pb

SERVICE = "/artoveq.v1.RemoteInferenceService"
LEVEL = 4
GIVEN_UP = (2**20, 30_000)
"""Numbers in a message: a megabyte's, and what a limit for messages without a file may let through."""
BOMBERS = 32
STREAMS, IN_FLIGHT, AT_ONCE = 4, 256, 32
CALLERS = 32
REPORTERS, THUMBNAIL_BYTES, UNKNOWN_BYTES = 64, 16_000, 40_000
UNKNOWN_FIELD = b"\x82\x7d"
"""The tag of bytes that no report has: field 2000."""
VIEWERS = 100


@cache
def _payloads(model: str) -> Payloads:
    return Payloads.make(Path(model), LEVEL)


async def given_up(target: Target) -> None:
    """Bundles of 256 pictures that give up a million others."""
    payloads = _payloads(target.model)
    bombs = [_bomb(payloads, count) for count in GIVEN_UP]
    await _streams(target, payloads, BOMBERS, lambda number: bombs[number % len(bombs)])


def _bomb(payloads: Payloads, numbers: int) -> bytes:
    shared = pb.Payload(picture_id=1, point=payloads.point, data=bytes(256), given_up=bytes(b"a" * numbers))
    return pb.StreamRequest(bundle=pb.PayloadBundle(shared=shared, lengths=[1])).SerializeToString()


async def reports(target: Target) -> None:
    """Reports, as long as can be, on many streams."""
    payloads = _payloads(target.model)
    report = pb.Report(point=1, capacity=1, thumbnail=os.urandom(THUMBNAIL_BYTES)).SerializeToString()
    padding = UNKNOWN_FIELD + _varint(UNKNOWN_BYTES) + bytes(UNKNOWN_BYTES)
    long, short = (
        pb.StreamRequest(report=pb.Report.FromString(said)).SerializeToString() for said in (report + padding, report)
    )
    await _streams(target, payloads, REPORTERS, lambda number: long if number % 2 else short)


def _varint(number: int) -> bytes:
    said = bytearray()
    while number > 127:
        said.append(number & 127 | 128)
        number >>= 7
    return bytes([*said, number])


async def _streams(target: Target, payloads: Payloads, count: int, message: Callable[[int], bytes]) -> None:
    """Streams that say hello, and then these messages, without an end; one that is ended is opened anew."""
    hello = pb.StreamRequest(hello=pb.Hello(fingerprint=payloads.fingerprint)).SerializeToString()

    async def one(channel: grpc.aio.Channel) -> None:
        while not target.over:
            call = channel.stream_stream(f"{SERVICE}/Stream", bytes, bytes)(metadata=target.metadata)
            reader = asyncio.create_task(_read(call))
            try:
                await call.write(hello)
                for number in itertools.count():
                    said = message(number)
                    if not await target.turn(len(said)):
                        return
                    await call.write(said)
            except (grpc.RpcError, asyncio.InvalidStateError):
                target.books.replies[(await call.code()).name] += 1
            finally:
                reader.cancel()
                call.cancel()
            await target.rest()

    channels = [await target.channel() for _ in range(STREAMS)]
    await asyncio.gather(*(one(channels[i % STREAMS]) for i in range(count)))


async def _read(call: Any) -> None:
    with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError, asyncio.CancelledError):
        while await call.read() is not grpc.aio.EOF:
            pass


async def starvation(target: Target) -> None:
    """Streams that always have as many pictures in flight as can be."""
    payloads, counts = _payloads(target.model), Counts()

    async def one() -> None:
        while not target.over:
            stream = LoadStream(await target.channel(), payloads, counts, target.metadata)
            with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError, ConnectionError):
                opening = asyncio.create_task(stream.open())
                welcomed, _ = await asyncio.wait({opening}, timeout=target.patience)
                while await target.turn(AT_ONCE * len(payloads.blocks[0][0])):
                    await stream.send(AT_ONCE)
                    while welcomed and stream.waiting > IN_FLIGHT - AT_ONCE:  # else `open` is still reading
                        await stream.hear()
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            stream.hang_up()
            await target.rest()

    await asyncio.gather(*(one() for _ in range(STREAMS)))
    target.books.replies.update({"OK": counts.answered, "failed": counts.failed})


async def keys(target: Target) -> None:
    """Pictures under ever new keys, each of which is to be remembered."""
    payloads = _payloads(target.model)
    call = (await target.channel()).unary_unary(f"{SERVICE}/Predict", bytes, bytes)

    async def one() -> None:
        for number in itertools.count():
            data, packed = payloads.blocks[number % len(payloads.blocks)]
            request = pb.PredictRequest(
                fingerprint=payloads.fingerprint, point=payloads.point, data=data, packed=packed, key=os.urandom(64)
            ).SerializeToString()
            if not await target.turn(len(request)):
                return
            await target.hear(call(request, metadata=target.metadata))

    await asyncio.gather(*(one() for _ in range(CALLERS)))


async def viewers(target: Target) -> None:
    """Pages that are opened, as many as can be, and opened anew."""
    request = (
        f"GET /v1/edges HTTP/1.1\r\nHost: {HOST}:{target.http_port}\r\nAuthorization: Bearer {target.token}\r\n\r\n"
    ).encode()

    async def one() -> None:
        while not target.over:
            try:
                if not await target.turn(len(request)):
                    return
                reader, writer = await target.connect(target.http_port, known=True)
                writer.write(request)
                status = await asyncio.wait_for(reader.readline(), target.patience)
                target.books.replies[status[9:12].decode()] += 1
                while b" 200 " in status and await reader.read(2**16):
                    pass
                writer.close()
            except (OSError, asyncio.TimeoutError) as error:
                target.refused(error)
            await target.rest()

    await asyncio.gather(*(one() for _ in range(VIEWERS)))
