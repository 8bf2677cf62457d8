"""How a server ends: in time, whatever is half open, and with a sentence for who is cut off."""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from artoveq.processes import server_process
from benchmarks.service.half_open import KINDS, stream_unfinished
from benchmarks.service.shutdown import MOST_S, ports_of, seconds_to_exit
from inference_server.rest.connections import STOPPED
from inference_server.rest.problems import STOPPING, body_of
from inference_server.rpc.ending import SENTENCE
from tests.inference_server.serving import Running, serving
from tests.inference_server.test_stream import PLANE, finals, hello, planes
from wire.artifact import Artifact
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub

UNAVAILABLE, PATIENCE_S = grpc.StatusCode.UNAVAILABLE, 10


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_sigterm_ends_in_time_whatever_is_half_open(
    progressive: Artifact, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTOVEQ_DECODER", "onnx")  # without torch it starts in half the time
    seconds, code = seconds_to_exit(progressive.folder, kind)
    assert seconds < MOST_S and code == 0


@pytest.mark.slow
def test_a_second_signal_ends_at_once(progressive: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTOVEQ_DECODER", "onnx")
    monkeypatch.setenv("ARTOVEQ_DRAIN_SECONDS", "60")
    with server_process(progressive.folder) as server, contextlib.ExitStack() as stack:
        stream_unfinished(ports_of(server, progressive.folder), stack)
        watch = _watch(stack, server.address)
        server.process.send_signal(signal.SIGTERM)
        _until_not_serving(watch)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE_S) == 128 + signal.SIGTERM


def test_a_thread_that_computes_does_not_keep_the_process() -> None:
    program = "import time; from inference_server.lifetime import end_within; end_within(0.1); time.sleep(60)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=True)
    assert "was not done within 0.1 s" in done.stderr


def test_who_is_cut_off_is_told(progressive: Artifact) -> None:
    with serving(progressive.folder, drain_seconds=0.2) as running, contextlib.ExitStack() as stack:
        stream = _stream(stack, running, progressive, threading.Event())
        connection = stack.enter_context(socket.create_connection(("127.0.0.1", running.server.http_port), PATIENCE_S))
        connection.sendall(b"POST /v1/predictions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\nhalf")
        watch = _watch(stack, running.address)
        running.stop()
        for call in (stream, watch):
            with pytest.raises(grpc.RpcError) as cut:
                list(call)
            assert (cut.value.code(), cut.value.details()) == (UNAVAILABLE, SENTENCE)
        head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
        assert b" 503 " in head and json.loads(body) == body_of(STOPPING, STOPPED)


def test_what_was_begun_is_answered_meanwhile(progressive: Artifact) -> None:
    """Its last planes come while the server is stopping."""
    with serving(progressive.folder, drain_seconds=PATIENCE_S) as running, contextlib.ExitStack() as stack:
        go_on = threading.Event()
        stream = _stream(stack, running, progressive, go_on)
        watch = _watch(stack, running.address)
        stopping = threading.Thread(target=running.stop)
        stopping.start()
        stack.callback(stopping.join)
        _until_not_serving(watch)
        go_on.set()
        answered = []
        with contextlib.suppress(grpc.RpcError):
            answered.extend(stream)
        assert 1 in finals(answered)


@pytest.mark.parametrize("understands", [False, True])
def test_edges_that_do_not_understand_move_are_not_told(progressive: Artifact, understands: bool) -> None:
    """They go on for as long as there is the server, however old their stream is."""
    said, heard = queue.SimpleQueue[object](), list[pb.StreamResponse]()
    with serving(progressive.folder, stream_age_seconds=0.1) as running, contextlib.ExitStack() as stack:
        stub = RemoteInferenceServiceStub(stack.enter_context(grpc.insecure_channel(running.address)))
        stack.callback(said.put, None)
        said.put(hello(progressive, reads_moves=understands))
        call = stub.Stream(iter(said.get, None))
        for number in range(1, 6):
            said.put(planes(number, 1, 8, PLANE * 8))
            while number not in finals(heard):
                heard.append(next(call))
            time.sleep(0.05)
        running.stop()
        with pytest.raises(grpc.RpcError) as ended:
            heard.extend(call)
        assert (ended.value.code(), ended.value.details()) == (UNAVAILABLE, "The server is stopping.")
    assert any(one.HasField("move") for one in heard) == understands


def _stream(stack: contextlib.ExitStack, running: Running, artifact: Artifact, go_on: threading.Event) -> grpc.Call:
    """A stream with a picture whose first plane has arrived; the others come when it is time."""
    stub = RemoteInferenceServiceStub(stack.enter_context(grpc.insecure_channel(running.address)))
    stack.callback(go_on.set)

    def said() -> Iterator[object]:
        yield hello(artifact)
        yield planes(1, 1, 1, PLANE)
        go_on.wait()
        yield planes(1, 2, 7, PLANE * 7)

    call = stub.Stream(said())
    assert next(call).HasField("welcome") and next(call).receipt.planes == 1
    return call


def _watch(stack: contextlib.ExitStack, address: str) -> grpc.Call:
    stub = health_pb2_grpc.HealthStub(stack.enter_context(grpc.insecure_channel(address)))
    watch = stub.Watch(health_pb2.HealthCheckRequest())
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    return watch


def _until_not_serving(watch: grpc.Call) -> None:
    with contextlib.suppress(grpc.RpcError):
        while next(watch).status == health_pb2.HealthCheckResponse.SERVING:
            pass
