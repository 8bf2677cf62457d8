"""What a stranger may take of a server before anybody knows who it is: real servers, and callers that do not behave."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import threading
from collections.abc import Iterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from inference_server.caller_logs import MOST
from inference_server.descriptors import RESERVED, connections_of
from inference_server.uploads import Uploads, UploadTooLarge
from tests.inference_server.conftest import png
from tests.inference_server.serving import serving
from tests.raw_http2 import GOAWAY, HEADERS, MAX_CONCURRENT_STREAMS, Http2, message
from wire.artifact import Artifact
from wire.exceptions import ServerOverloaded
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub as Stub

SERVICE = "/artoveq.v1.RemoteInferenceService"
PREDICT = f"{SERVICE}/Predict"
WATCH = "/grpc.health.v1.Health/Watch"
RED = png("red")
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "method", [PREDICT, f"{SERVICE}/Stream", f"{SERVICE}/PredictPicture", "/grpc.health.v1.Health/Watch"]
)
def test_a_long_message_is_refused_before_it_is_read(progressive: Artifact, method: str) -> None:
    with serving(progressive.folder) as server, Http2(server.server.port) as attacker:
        rest, sent = message(bytes(16 * 2**20)), 0
        call = attacker.call(method)
        while not attacker.of(HEADERS):
            sent += attacker.send(call, rest[sent:])
            attacker.until(lambda: attacker.of(HEADERS), 0.1)
        assert b"larger than max (16777216 vs. 65536)" in b"".join(attacker.of(HEADERS))
        assert sent <= 2 * 65536


def test_a_request_that_is_not_finished_is_given_up(progressive: Artifact) -> None:
    with serving(progressive.folder, greeting_seconds=0.3) as server, Http2(server.server.port) as attacker:
        for method in (PREDICT, f"{SERVICE}/FetchFile", "/grpc.health.v1.Health/Check"):
            attacker.send(attacker.call(method), message(bytes(10), announced=100))
        assert attacker.until(lambda: len(attacker.of(HEADERS)) >= 3)
        assert b"did not arrive within 0.3 s" in b"".join(attacker.of(HEADERS))


def test_a_host_may_owe_so_many_requests(progressive: Artifact) -> None:
    with serving(progressive.folder, host_calls=3) as server, Http2(server.server.port) as attacker:
        for _ in range(4):
            attacker.call(PREDICT)
        assert attacker.until(lambda: attacker.of(HEADERS))
        assert b"has 3 calls whose request has not arrived" in attacker.of(HEADERS)[0]


def test_so_many_calls_may_be_open_in_all(progressive: Artifact) -> None:
    with serving(progressive.folder, calls=3) as server, Http2(server.server.port) as attacker:
        for _ in range(4):
            attacker.call(PREDICT)
        assert attacker.until(lambda: attacker.of(HEADERS))
        assert b"Concurrent RPC limit exceeded" in attacker.of(HEADERS)[0]


def test_a_connection_is_told_how_many_calls_it_may_have(progressive: Artifact) -> None:
    with serving(progressive.folder, connection_calls=7) as server, Http2(server.server.port) as client:
        assert client.settings[MAX_CONCURRENT_STREAMS] == 7


def test_silent_connections_end_and_others_go_on(progressive: Artifact) -> None:
    with serving(progressive.folder, connections=4, greeting_seconds=0.5) as server:
        silent = [socket.create_connection(("127.0.0.1", server.server.port)) for _ in range(8)]
        for one in silent:
            one.settimeout(10)
            while one.recv(1000):  # the server's settings, and then the end
                pass
            one.close()
        with grpc.insecure_channel(server.address) as channel:
            health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)
            assert health.status == health_pb2.HealthCheckResponse.SERVING


def test_a_connection_without_a_call_is_closed(progressive: Artifact) -> None:
    with serving(progressive.folder, connection_idle_seconds=0.3) as server, Http2(server.server.port) as client:
        assert client.until(lambda: client.of(GOAWAY)) and b"idle" in client.of(GOAWAY)[0]


def test_a_connection_may_have_an_age(progressive: Artifact) -> None:
    settings = {"connection_age_seconds": 0.3, "drain_seconds": 0.2}
    with serving(progressive.folder, **settings) as server, Http2(server.server.port) as client:
        client.call(PREDICT)
        assert client.until(lambda: client.of(GOAWAY)) and b"age" in client.of(GOAWAY)[0]
        client.until(lambda: client.closed)
        assert client.closed


@pytest.mark.parametrize(("ping_seconds", "told_off"), [(0.01, False), (60, True)])
def test_pings_at_an_allowed_pace_are_answered(progressive: Artifact, ping_seconds: float, told_off: bool) -> None:
    with serving(progressive.folder, ping_seconds=ping_seconds) as server, Http2(server.server.port) as client:
        for _ in range(8):
            client.ping()
            if client.until(lambda: client.of(GOAWAY), 0.05):
                break
        assert bool(client.of(GOAWAY)) == told_off


def pieces(data: bytes, size: int) -> Iterator[pb.PredictPictureRequest]:
    for at in range(0, len(data), size):
        yield pb.PredictPictureRequest(picture=data[at : at + size], top_k=2)


def test_a_picture_comes_in_pieces(progressive: Artifact) -> None:
    with (
        serving(progressive.folder, max_upload_bytes=200_000) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        padded = RED + bytes(190_000 - len(RED))
        answer = Stub(channel).PredictPicture(pieces(padded, 50_000)).answer
        assert answer.classification.classes[0].name == "red"
        assert len(answer.classification.classes) == 2
        with pytest.raises(grpc.RpcError, match="more than 200,000 bytes") as refused:
            Stub(channel).PredictPicture(pieces(RED + bytes(200_000), 50_000))
        assert refused.value.code() == INVALID


def test_a_picture_may_take_so_long(progressive: Artifact) -> None:
    def slow() -> Iterator[pb.PredictPictureRequest]:
        yield pb.PredictPictureRequest(picture=RED[:9])
        over.wait(10)

    over = threading.Event()
    with serving(progressive.folder, upload_seconds=0.2) as server, grpc.insecure_channel(server.address) as channel:
        with pytest.raises(grpc.RpcError, match="did not arrive within") as refused:
            Stub(channel).PredictPicture(slow())
        over.set()
        assert refused.value.code() == INVALID
        assert server.server.deployment.uploads.held == 0


def test_watching_is_limited_for_each_host(progressive: Artifact) -> None:
    with serving(progressive.folder, host_watches=2) as server, grpc.insecure_channel(server.address) as channel:
        health, reflection = health_pb2_grpc.HealthStub(channel), reflection_pb2_grpc.ServerReflectionStub(channel)
        watches = [health.Watch(health_pb2.HealthCheckRequest()) for _ in range(2)]
        assert all(next(watch).status == health_pb2.HealthCheckResponse.SERVING for watch in watches)
        for call in (
            lambda: list(health.Watch(health_pb2.HealthCheckRequest())),
            lambda: list(reflection.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest()]))),
        ):
            with pytest.raises(grpc.RpcError, match="has 2 watching calls") as refused:
                call()
            assert refused.value.code() == EXHAUSTED
        assert health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
        for watch in watches:
            watch.cancel()


def test_uploads_are_limited_by_file_by_caller_and_in_all() -> None:
    uploads = Uploads(most_of_file=100, most=300, most_of_caller=2)
    with uploads.one("a") as first, uploads.one("a") as second:
        first.add(bytes(60))
        first.add(bytes(40))
        with pytest.raises(UploadTooLarge, match="more than 100 bytes"):
            first.add(b"x")
        second.add(bytes(50))
        with pytest.raises(ServerOverloaded):  # half of all
            second.add(b"x")
        with pytest.raises(ServerOverloaded, match="a has 2 picture files under way"), uploads.one("a"):
            pass
        with uploads.one("b") as third, uploads.one("c") as fourth:
            third.add(bytes(100))
            fourth.add(bytes(50))
            with pytest.raises(ServerOverloaded):
                fourth.add(b"x")
        assert first.file() == bytes(100) and uploads.held == 150
    assert uploads.held == 0


def test_some_descriptors_are_kept_for_what_is_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    assert connections_of(4096) == (256 - RESERVED) // 2
    assert connections_of(10) == 10


def test_refused_calls_do_not_fill_the_log(progressive: Artifact, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with serving(progressive.folder, rate_pictures=0.001) as server, grpc.insecure_channel(server.address) as channel:
        for _ in range(2 * MOST):
            with contextlib.suppress(grpc.RpcError):
                Stub(channel).PredictPicture(iter([pb.PredictPictureRequest(picture=RED)]))
    assert 1 <= sum("may send 0.001 pictures" in line.getMessage() for line in caplog.records) <= MOST + 1


def test_a_refusal_is_heard_in_the_midst_of_writing(progressive: Artifact) -> None:
    async def refused(address: str) -> tuple[grpc.StatusCode, str]:
        async with grpc.aio.insecure_channel(address) as channel:
            call = Stub(channel).PredictPicture()
            for _ in range(20):
                await call.write(pb.PredictPictureRequest(picture=bytes(30_000)))
            await call.done_writing()
            return await call.code(), await call.details()

    with serving(progressive.folder, max_upload_bytes=100_000) as server:
        code, said = asyncio.run(refused(server.address))
    assert code == INVALID and "more than 100,000 bytes" in said
