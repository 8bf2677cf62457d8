"""The service on Ray Serve: all that there is of it without Ray, then, where Ray is installed, the command itself."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import httpx2
import pytest

import inference_server.ray_serve.messages  # noqa: F401
from artoveq import Client
from inference_server.ray_serve.autoscaling import BUSY, QUEUE_MS, DecoderLoad, QueueTime, replicas_wanted
from inference_server.ray_serve.replica import Replica, check_settings
from inference_server.settings import Settings
from tests import tiny
from tests.conftest import MODEL, PICTURES, ROOT
from wire.artifact import Artifact
from wire.exceptions import SettingsError
from wire.generated import remote_inference_pb2 as pb
from wire.payload import PayloadCodec


@pytest.mark.parametrize(
    ("queue_ms", "busy", "wanted"),
    [
        ([30, 30], [0.9, 0.9], 3),
        ([500, 500], [1.0, 1.0], 4),  # twice as many at most
        ([40, 0], [0.9, 0.1], 2),  # 20 on average is what is aimed at
        ([1, 1, 1], [0.5, 0.5, 0.5], 3),
        ([1, 1, 1], [0.3, 0.3, 0.3], 2),
        ([0, 0, 0], [0.0, 0.0, 0.0], 1),
        ([1], [1.0], 1),  # busy, but nothing waits
        ([], [], 1),
    ],
)
def test_replicas_follow_the_queue_and_leave_when_fewer_would_do(
    queue_ms: Sequence[float], busy: Sequence[float], wanted: int
) -> None:
    assert replicas_wanted(queue_ms, busy, 20) == wanted


def test_the_policy_keeps_what_there_is_until_replicas_report() -> None:
    context = SimpleNamespace(aggregated_metrics=None, target_num_replicas=3)
    assert QueueTime()(context) == (3, {})
    context.aggregated_metrics = {QUEUE_MS: {"a": 50.0, "b": 30.0}, BUSY: {"a": 1.0, "b": 1.0}}
    assert QueueTime(aim_ms=20)(context) == (4, {})
    assert QueueTime(aim_ms=100)(context) == (2, {})


def test_a_replica_reports_what_was_counted_since_it_did_before() -> None:
    queued, count, decoded = "artoveq_queue_seconds_sum", "artoveq_queue_seconds_count", "artoveq_decode_seconds_sum"
    counted = {queued: 5.0, count: 100.0, decoded: 7.0}
    load = DecoderLoad(10.0, counted.get)
    counted |= {queued: 6.0, count: 120.0, decoded: 8.0}
    assert load.report(12.0) == {QUEUE_MS: 50.0, BUSY: 0.5}
    assert load.report(14.0) == {QUEUE_MS: 0.0, BUSY: 0.0}


def test_what_its_ports_cannot_give_is_refused(tmp_path: Path) -> None:
    plain = Settings(model=(MODEL,))
    check_settings(plain)
    with pytest.raises(SettingsError, match="speak no TLS"):
        check_settings(plain.model_copy(update={"tls_certificate": tmp_path / "a.pem"}))
    for name in ("admin_tokens_file", "models"):
        with pytest.raises(SettingsError, match=f"leave ARTOVEQ_{name.upper()} out"):
            check_settings(plain.model_copy(update={name: tmp_path}))


class Context:
    """Ray's of a call, as far as a deployment sees it."""

    code: grpc.StatusCode | None = None
    details = ""
    sent: Sequence[tuple[str, Any]] = ()

    def peer(self) -> str:
        return "ipv4:127.0.0.1:50000"

    def invocation_metadata(self) -> list[tuple[str, str]]:
        return []

    def set_code(self, code: grpc.StatusCode) -> None:
        self.code = code

    def set_details(self, details: str) -> None:
        self.details = details

    def set_trailing_metadata(self, sent: Sequence[tuple[str, Any]]) -> None:
        self.sent = [*[("request_id", "1")], *sent]


class Said:
    """What an edge says, as Ray hands it over."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[pb.StreamRequest | None] = asyncio.Queue()

    def say(self, message: pb.StreamRequest | None) -> None:
        self._messages.put_nowait(message)

    async def __aiter__(self) -> AsyncIterator[pb.StreamRequest]:
        while (message := await self._messages.get()) is not None:
            yield message


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tiny.nested(tmp_path_factory.mktemp("ray") / "model")


def _payload(model: Artifact, picture_id: int) -> pb.StreamRequest:
    data, packed = PayloadCodec(model.manifest).write_block(tiny.indices_of(tiny.picture("red"), (16,)), 4)
    return pb.StreamRequest(payload=pb.Payload(picture_id=picture_id, point=4, data=data, packed=packed))


def test_calls_are_answered_or_refused_with_the_status_they_have_elsewhere(model: Artifact) -> None:
    async def run() -> None:
        replica, context = Replica(Settings(model=(model.folder,), decoder_threads=1)), Context()
        described = await replica.answer("DescribeModel", pb.DescribeModelRequest(), context)
        assert described.fingerprint == model.manifest.fingerprint and context.code is None
        data, packed = PayloadCodec(model.manifest).write_block(tiny.indices_of(tiny.picture("red"), (16,)), 4)
        asked = pb.PredictRequest(fingerprint=model.manifest.fingerprint, point=4, data=data, packed=packed)
        answered = await replica.answer("Predict", asked, context)
        assert answered.answer.classification.classes[0].name == "red"
        assert replica.load()[QUEUE_MS] > 0
        refused = await replica.answer("Predict", pb.PredictRequest(fingerprint="other", point=4), context)
        assert refused == pb.PredictResponse()
        assert context.code is grpc.StatusCode.FAILED_PRECONDITION and "model" in context.details
        assert "grpc-status-details-bin" in dict(context.sent)
        missing = Context()
        fetch = pb.FetchFileRequest(fingerprint=model.manifest.fingerprint, name="decoder.onnx")
        assert [part async for part in replica.responses("FetchFile", fetch, missing)] == []
        assert missing.code is grpc.StatusCode.NOT_FOUND

    asyncio.run(run())


def test_when_the_engine_stops_it_edges_are_told_to_move_and_what_is_open_is_answered(model: Artifact) -> None:
    async def run() -> None:
        replica, said, stopping = Replica(Settings(model=(model.folder,), decoder_threads=1)), Said(), False

        async def asked() -> bool:
            return stopping

        watching = asyncio.create_task(replica.watch(asked))
        responses = replica.responses("Stream", said, Context())
        hello = pb.Hello(fingerprint=model.manifest.fingerprint, reads_moves=True, name="gate")
        said.say(pb.StreamRequest(hello=hello))
        assert (await anext(responses)).HasField("welcome")
        stopping = True
        assert (await anext(responses)).HasField("move")
        said.say(_payload(model, 1))
        response = await anext(responses)
        while not response.HasField("answer"):  # receipts come before it
            assert not response.HasField("failure"), response
            response = await anext(responses)
        assert response.answer.classification.classes[0].name == "red"
        context = Context()
        late = Said()
        late.say(pb.StreamRequest(hello=hello))
        assert [one async for one in replica.responses("Stream", late, context)] == []
        assert context.code is grpc.StatusCode.UNAVAILABLE
        said.say(None)
        assert [one async for one in responses] == []
        await watching

    asyncio.run(run())


def test_messages_are_carried_from_process_to_process() -> None:
    sent = pb.StreamRequest(payload=pb.Payload(picture_id=7, point=2, data=b"abc"))
    assert pickle.loads(pickle.dumps(sent)) == sent


def test_the_application_begins_and_ends_as_an_engine_has_it(model: Artifact) -> None:
    async def run() -> list[str]:
        replica, said = Replica(Settings(model=(model.folder,), decoder_threads=1)), list[str]()
        events = iter(("lifespan.startup", "lifespan.shutdown"))

        async def receive() -> dict[str, Any]:
            return {"type": next(events)}

        async def send(message: Any) -> None:
            said.append(message["type"])

        await replica.app()({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
        return said

    assert asyncio.run(run()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_an_engine_that_cannot_be_asked_is_asked_again(model: Artifact) -> None:
    answers = iter((OSError("the controller starts anew"), False, True))

    async def asked() -> bool:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    async def run() -> None:
        replica = Replica(Settings(model=(model.folder,), decoder_threads=1))
        await asyncio.wait_for(replica.watch(asked), 10)
        assert replica.deployment.draining

    asyncio.run(run())


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is no part of the checks")
def test_the_command_serves_edges_and_browsers_and_stops(tmp_path: Path) -> None:
    ports = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ports.append(listener.getsockname()[1])
    command = [sys.executable, "-m", "artoveq", "serve", "--ray", "--model", str(MODEL), "--host", "127.0.0.1"]
    command += ["--port", str(ports[0]), "--http-port", str(ports[1])]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
    assert process.stdout is not None
    try:
        assert any("Serving on Ray" in line for line in process.stdout)
        pictures = sorted(PICTURES.glob("*.png"))
        with Client(f"127.0.0.1:{ports[0]}", MODEL) as client:
            assert all(client.predict(picture, budget="5s").best.name for picture in pictures)
        assert httpx2.get(f"http://127.0.0.1:{ports[1]}/readyz").json() == {"status": "ready"}
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
