"""How a server ends: in time, whatever is half open, and with a sentence for who is cut off."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from collections.abc import Iterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from artoveq.processes import ServerProcess, server_process
from benchmarks.service.half_open import KINDS, http_half_body, stream_unfinished
from benchmarks.service.shutdown import MOST_S, ports_of, seconds_to_exit
from inference_server.rest.connections import STOPPED
from inference_server.rpc.ending import SENTENCE
from tests.inference_server.serving import serving
from wire.artifact import Artifact
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@pytest.fixture(autouse=True)
def _no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers start in half the time."""
    monkeypatch.setenv("ARTOVEQ_DECODER", "onnx")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_sigterm_ends_in_time_whatever_is_half_open(progressive: Artifact, kind: str) -> None:
    seconds, code = seconds_to_exit(progressive.folder, kind)
    assert seconds < MOST_S and code == 0
