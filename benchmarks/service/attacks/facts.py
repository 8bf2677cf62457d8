"""What a server must do with what is not allowed, or no longer: each case counts, or times, one thing."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
from h2.exceptions import H2Error
from PIL import Image, features

from artoveq.processes import ServerProcess
from benchmarks.service.attacks.edges import endless_retry
from benchmarks.service.attacks.floods.unknown import BODY
from benchmarks.service.attacks.http2 import Http2
from benchmarks.service.attacks.rounds import OURS, THEIRS, TOKENS, authorized, server_of
from benchmarks.service.attacks.target import HOST, OPTIONS, Target
from benchmarks.service.half_open import all_at_once
from benchmarks.service.load import PICTURES, Payloads
from benchmarks.service.shutdown import seconds_to_exit
from wire.artifact import load_artifact
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub

DOCUMENTED = ("JPEG", "PNG", "WEBP")
FILE_BYTES = 60_000
"""That fit in a stream's message."""
PATIENCE_S = 10.0
PING_S, PINGS = 10.0, 4
"""How often clients that want to keep a connection ping, and how many are sent."""
GREETING_S, DEADLINE_PATIENCE_S = 5.0, 30.0
REMEMBERED, FLOOD = 64, 200
"""Answers that the server remembers, and keys that one caller has it remember."""
VIEWERS = 64
PAGE = "GET /v1/edges HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n"
METRICS = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n"
ANSWERED = re.compile(r"^artoveq_pictures_total\{.*\} (\S+)$", re.MULTILINE)


async def formats(model: Path) -> dict[str, Any]:
    """Pictures in every format that Pillow writes, and broken ones whose decoders fail in ways of their own."""
    files = _files()
    taken, refused, unanswered = list[str](), list[str](), list[str]()
    async with _server(model) as server, _stub(server) as stub:
        fingerprint = load_artifact(model, edge=True).manifest.fingerprint
        call = stub.Stream(metadata=authorized(OURS))
        await call.write(pb.StreamRequest(hello=pb.Hello(fingerprint=fingerprint)))
        await call.read()
        for number, (name, file) in enumerate(files.items(), 1):
            await call.write(pb.StreamRequest(file=pb.PictureFile(picture_id=number, file=file)))
            try:
                said = await asyncio.wait_for(_end_of(call, number), PATIENCE_S)
            except asyncio.TimeoutError:
                unanswered.append(name)
                break  # a read that is cancelled ends the stream
            (taken if said.HasField("answer") else refused).append(name)
    beyond = [name for name in taken if name not in DOCUMENTED]
    missing = [name for name in DOCUMENTED if name not in taken]
    return {
        "sent": len(files), "taken": taken, "refused": len(refused), "unanswered": unanswered,
        "faults": len(beyond) + len(missing) + len(unanswered),
    }  # fmt: skip


def _files() -> dict[str, bytes]:
    Image.init()
    picture, found = Image.open(PICTURES / "dingo.png").convert("RGB"), {}
    for name in sorted(Image.SAVE):
        if name in Image.OPEN or name in DOCUMENTED:
            file = io.BytesIO()
            with contextlib.suppress(OSError, ValueError, KeyError, RuntimeError):
                picture.resize((64, 64)).convert({"GIF": "P", "MSP": "1", "XBM": "1"}.get(name, "RGB")).save(file, name)
                found[name] = file.getvalue()
    found["broken DDS"] = b"DDS \x7c\0\0\0" + bytes(124) + b"DX10" + bytes(64)
    if features.check("avif"):
        found["broken AVIF"] = found["AVIF"][:200] + bytes(200)
    return {name: file for name, file in found.items() if len(file) <= FILE_BYTES}


async def _end_of(call: Any, number: int) -> pb.StreamResponse:
    while True:
        said = await call.read()
        if said is grpc.aio.EOF:
            raise ConnectionError(f"the server ended the stream: {await call.details()}")
        if number in (said.answer.picture_id, said.failure.picture_id):
            return said  # type: ignore[no-any-return]


async def key_binding(model: Path) -> dict[str, Any]:
    """A key sent again: with another picture it is refused; with its own it is answered, and counted once, although
    another caller has had the server remember more than it remembers."""
    payloads = Payloads.make(model, 4, 2)
    async with _server(model, remembered_pictures=REMEMBERED) as server, _stub(server) as stub:

        async def ask(picture: int, key: bytes, token: str) -> pb.PredictResponse:
            data, packed = payloads.blocks[picture]
            request = pb.PredictRequest(
                fingerprint=payloads.fingerprint, point=payloads.point, data=data, packed=packed, key=key
            )
            return await stub.Predict(request, metadata=authorized(token))  # type: ignore[no-any-return]

        first = await ask(0, b"key", OURS)
        other = await _code(ask(1, b"key", OURS))
        for _ in range(FLOOD):
            await _code(ask(0, os.urandom(16), THEIRS))
        before = await _counted(server)
        again = await ask(0, b"key", OURS)
        counted = await _counted(server) - before
    faults = (other != "INVALID_ARGUMENT") + (again != first) + (counted > 0)
    return {
        "another_picture": other, "same_answer": again == first, "counted_again": counted, "faults": faults,
    }  # fmt: skip


async def _code(call: Any) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)
    return "OK"


async def _counted(server: ServerProcess) -> float:
    reader, writer = await asyncio.open_connection(HOST, server.http_port)
    writer.write(METRICS.format(OURS).encode())
    text = (await reader.read(2**22)).decode()
    while more := await reader.read(2**20):
        text += more.decode()
    writer.close()
    return sum(map(float, ANSWERED.findall(text)))


async def page_for_all(model: Path) -> dict[str, Any]:
    """One caller opens as many pages as it can; another one opens its first."""
    async with _server(model) as server, contextlib.AsyncExitStack() as stack:
        theirs = [await _page(server, THEIRS, stack) for _ in range(VIEWERS)]
        ours = await _page(server, OURS, stack)
    return {"theirs": sum(status == "200" for status, _ in theirs), "ours": ours[0], "faults": int(ours[0] != "200")}


async def _page(
    server: ServerProcess, token: str, stack: contextlib.AsyncExitStack
) -> tuple[str, asyncio.StreamReader]:
    reader, writer = await asyncio.open_connection(HOST, server.http_port)
    stack.callback(writer.close)
    writer.write(PAGE.format(token).encode())
    return (await asyncio.wait_for(reader.readline(), PATIENCE_S))[9:12].decode(), reader


async def revocation(model: Path) -> dict[str, Any]:
    """A token that is struck out of a file whose size and times stay as they were: how long until it opens nothing."""
    fingerprint = load_artifact(model, edge=True).manifest.fingerprint
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = await stack.enter_async_context(_server_in(folder, model))
        stub = await stack.enter_async_context(_stub(server))
        call = stub.Stream(metadata=authorized(THEIRS))
        await call.write(pb.StreamRequest(hello=pb.Hello(fingerprint=fingerprint)))
        await call.read()
        _, page = await _page(server, THEIRS, stack)
        tokens = folder / TOKENS
        was, text = tokens.stat(), tokens.read_text()
        tokens.write_text(text.replace(THEIRS, THEIRS[::-1]))
        os.utime(tokens, ns=(was.st_atime_ns, was.st_mtime_ns))
        began = time.monotonic()
        refused = asyncio.create_task(_until_refused(stub))
        ended = asyncio.create_task(_until(call.read(), began))
        closed = asyncio.create_task(_until(_to_the_end(page), began))
        seconds = {
            "new_calls": await _until(refused, began), "streams": await ended, "pages": await closed,
        }  # fmt: skip
    return {**seconds, "seconds": max(seconds.values())}


async def _until_refused(stub: RemoteInferenceServiceStub) -> None:
    while await _code(stub.DescribeModel(pb.DescribeModelRequest(), metadata=authorized(THEIRS))) == "OK":  # noqa: ASYNC110
        await asyncio.sleep(0.05)


async def _to_the_end(reader: asyncio.StreamReader) -> None:
    while await reader.read(2**16):
        pass


async def _until(event: Any, began: float) -> float:
    with contextlib.suppress(asyncio.TimeoutError, grpc.RpcError):
        await asyncio.wait_for(event, PATIENCE_S)
    return round(time.monotonic() - began, 2)


async def keepalive(model: Path) -> dict[str, Any]:
    """A client without a call that pings every ten seconds, as many do to keep a way through a router open."""
    async with _server(model) as server, _target(server) as target:
        connection = await Http2(target).open()
        sent = 0
        for number in range(PINGS):
            if connection.closed:
                break
            await connection.ping(number)
            sent += 1
            await asyncio.sleep(PING_S)
        return {"pings": sent, "faults": int(connection.closed), "told": dict(target.books.replies)}


async def deadlines(model: Path) -> dict[str, Any]:
    """How long a connection stays open that does not come to its point, where that is a few seconds by the settings."""
    async with (
        _server(model, greeting_seconds=GREETING_S, upload_seconds=GREETING_S) as server,
        _target(server) as target,
    ):
        http, rpc = server.http_port, server.port
        kinds = {
            "http_silent": _open_for(target, http, b"", b""),
            "http_header": _open_for(target, http, b"GET /healthz HTTP/1.1\r\n", b"x"),
            "http_body": _open_for(target, http, BODY, b"x"),
            "grpc_silent": _open_for(target, rpc, b"", b""),
            "grpc_preface": _open_for(target, rpc, b"PRI * HTTP/2.0\r\n", b""),
            "grpc_message": _message_open_for(target),
        }  # fmt: skip
        found = dict(zip(kinds, await asyncio.gather(*kinds.values()), strict=True))
    return {**found, "seconds": max(found.values())}


async def _open_for(target: Target, port: int, first: bytes, then: bytes) -> float:
    """Seconds. then: said every second."""
    began = time.monotonic()
    reader, writer = await target.connect(port)
    ended = asyncio.create_task(_to_the_end(reader))
    with contextlib.suppress(OSError):
        writer.write(first)
        while not ended.done() and time.monotonic() < began + DEADLINE_PATIENCE_S:
            writer.write(then)
            await asyncio.wait({ended}, timeout=1.0)
    await asyncio.gather(ended, return_exceptions=True) if ended.done() else ended.cancel()
    return round(time.monotonic() - began, 1)


async def _message_open_for(target: Target) -> float:
    """Of a call whose only message does not come to its end."""
    began = time.monotonic()
    with contextlib.suppress(OSError, H2Error):
        connection = await Http2(target).open()
        stream = connection.call("/artoveq.v1.RemoteInferenceService/PredictPicture")
        assert stream is not None
        await connection.push(stream, b"\0\0\0\x10\0")
        while not connection.closed and stream not in connection.ended:
            if time.monotonic() > began + DEADLINE_PATIENCE_S:
                break
            await connection.push(stream, b"x")
            await asyncio.sleep(1.0)
    return round(time.monotonic() - began, 1)


async def sigterm(model: Path) -> dict[str, Any]:
    """SIGTERM while callers leave half open whatever can be, thrice; the command `shutdown` has each kind alone."""
    seconds, code = await asyncio.to_thread(seconds_to_exit, model, all_at_once.__name__)
    return {"seconds": seconds, "exit_code": code}


@contextlib.asynccontextmanager
async def _server(model: Path, **more: float) -> AsyncIterator[ServerProcess]:
    with tempfile.TemporaryDirectory() as folder:
        async with _server_in(Path(folder), model, **more) as server:
            yield server


@contextlib.asynccontextmanager
async def _server_in(folder: Path, model: Path, **more: float) -> AsyncIterator[ServerProcess]:
    """Starts and ends in a thread: the clocks of the other cases run on this event loop."""
    with contextlib.ExitStack() as stack:
        server = await asyncio.to_thread(stack.enter_context, server_of(model, folder, **more))
        try:
            yield server
        finally:
            await asyncio.to_thread(stack.close)


@contextlib.asynccontextmanager
async def _stub(server: ServerProcess) -> AsyncIterator[RemoteInferenceServiceStub]:
    async with grpc.aio.insecure_channel(server.address, options=OPTIONS) as channel:
        yield RemoteInferenceServiceStub(channel)  # type: ignore[no-untyped-call]


@contextlib.asynccontextmanager
async def _target(server: ServerProcess) -> AsyncIterator[Target]:
    target = Target(port=server.port, http_port=server.http_port, model="", seconds=PING_S * PINGS)
    async with target.stack:
        yield target


FACTS = {
    case.__name__: case
    for case in (formats, key_binding, page_for_all, revocation, keepalive, deadlines, sigterm, endless_retry)
}
