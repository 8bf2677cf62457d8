"""Who waits for a turn, over gRPC and over HTTP: strangers, where tokens are wanted. And what is not read before."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest

from inference_server.rest.connections import DRIPS, Connection
from inference_server.server import Server
from inference_server.settings import read_settings
from tests.conftest import MODEL
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub

TOKEN = "a-token-that-is-long-enough"
ASKED, RATE = 6, 4.0
"""One at once; the last one waits for more than a second."""


@pytest.mark.slow
@pytest.mark.parametrize(("token", "waits"), [("", True), (TOKEN, False)])
def test_only_strangers_wait(tmp_path: Path, token: str, waits: bool) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"someone: {TOKEN}\n")
    settings = read_settings(
        model=MODEL, host="127.0.0.1", port=0, http_port=0, tokens_file=tokens, stranger_requests=RATE
    )
    sent = {"authorization": f"Bearer {token}"} if token else {}

    async def run() -> tuple[float, set[Any], float, set[int]]:
        server = Server(settings)
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                stub = RemoteInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
                began = time.monotonic()
                calls = [
                    stub.DescribeModel(pb.DescribeModelRequest(), metadata=tuple(sent.items())) for _ in range(ASKED)
                ]
                codes = {await call.code() for call in calls}
                over_grpc = time.monotonic() - began
            async with httpx2.AsyncClient(base_url=f"http://localhost:{server.http_port}", headers=sent) as client:
                began = time.monotonic()
                answers = await asyncio.gather(*(client.get("/v1/models") for _ in range(ASKED)))
            return over_grpc, codes, time.monotonic() - began, {one.status_code for one in answers}
        finally:
            await server.stop()

    over_grpc, codes, over_http, statuses = asyncio.run(run())
    assert codes == {grpc.StatusCode.UNAUTHENTICATED if waits else grpc.StatusCode.OK}
    assert statuses == {401 if waits else 200}
    if waits:
        assert min(over_grpc, over_http) >= (ASKED - 1) / RATE - 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "reads"), [(b"POST /v1/predictions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n", 1),
                         (b"GET /healthz HTTP/1.1\r\nX-Slow: ", DRIPS + 2)]
)  # fmt: skip
def test_what_comes_byte_by_byte_or_before_its_callers_turn_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bytes, reads: int
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"someone: {TOKEN}\n")
    settings = read_settings(
        model=MODEL, host="127.0.0.1", port=0, http_port=0, tokens_file=tokens, stranger_requests=0.1
    )
    received = list[int]()

    class Counting(Connection):
        def data_received(self, data: bytes) -> None:
            received.append(len(data))
            super().data_received(data)

    monkeypatch.setattr("inference_server.rest.connections.Connection", Counting)

    async def run() -> None:
        server = Server(settings)
        await server.start()
        try:
            async with httpx2.AsyncClient(base_url=f"http://localhost:{server.http_port}") as client:
                await client.get("/healthz")  # the only one for now
            received.clear()
            _, writer = await asyncio.open_connection("127.0.0.1", server.http_port)
            for piece in (first, *[b"x"] * 20):
                writer.write(piece)
                await asyncio.sleep(0.02)
            writer.transport.abort()
        finally:
            await server.stop()

    asyncio.run(run())
    assert 1 <= len(received) <= reads
