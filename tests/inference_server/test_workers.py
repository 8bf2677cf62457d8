"""Several real processes behind one address: answers, kills, changes of models, counters; the last test ends them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx2
import pytest

from artoveq.processes import ServerProcess, server_process
from benchmarks.service.measure import variables
from edge_client.transport.security import OPTIONS
from tests import tiny
from wire.artifact import Artifact
from wire.entropy import open_coder
from wire.exceptions import ServerError
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub as Stub
from wire.payload import PayloadCodec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
TOKEN = "0123456789abcdef0123456789abcdef"
ADMIN = {"authorization": f"Bearer {TOKEN}"}
WORKERS, CONNECTIONS = 3, 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workers")


@pytest.fixture(scope="module")
def log(folder: Path) -> Path:
    return folder / "log"


@pytest.fixture(scope="module")
def server(coded: Artifact, folder: Path, log: Path) -> Iterator[ServerProcess]:
    admins = folder / "admins"
    admins.write_text(f"me:{TOKEN}\n")
    admins.chmod(0o600)
    environment = {**os.environ, **variables(decoder_threads=1, admin_tokens_file=admins)}
    with (
        log.open("w") as stderr,
        server_process(coded.folder, "--workers", str(WORKERS), stderr=stderr, env=environment) as running,
    ):
        yield running


def children(process: int) -> list[int]:
    """Those that serve, in the order in which they were started: the decoder first. Python's own helper is none."""
    found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(one) for one in found if "resource_tracker" not in Path(f"/proc/{one}/cmdline").read_text()]


def request_of(artifact: Artifact, seed: int, key: bytes = b"") -> pb.PredictRequest:
    codec = PayloadCodec(artifact.manifest, open_coder(artifact))
    point = len(artifact.manifest.points)
    indices = tiny.indices_of(tiny.noise(seed), artifact.manifest.point(point).sizes)
    data, packed = codec.write_block(indices, point)
    return pb.PredictRequest(fingerprint=artifact.manifest.fingerprint, point=point, data=data, packed=packed, key=key)


@contextlib.contextmanager
def stubs(server: ServerProcess, count: int = CONNECTIONS) -> Iterator[list[Stub]]:
    """Each on a connection of its own, so that the kernel spreads them over the workers."""
    options = [*OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
    with contextlib.ExitStack() as stack:
        yield [Stub(stack.enter_context(grpc.insecure_channel(server.address, options))) for _ in range(count)]


def counted(server: ServerProcess, name: str) -> float:
    text = httpx2.get(f"http://127.0.0.1:{server.http_port}/metrics").text
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


def until(seconds: float, true: object) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():  # type: ignore[operator]
            return True
        time.sleep(0.1)
    return False


def test_all_workers_answer_count_together_and_remember_together(server: ServerProcess, coded: Artifact) -> None:
    expected: dict[int, float] = {}
    with stubs(server) as many:
        for number, stub in enumerate(many):
            seed = number % 3
            best = stub.Predict(request_of(coded, seed)).answer.classification.classes[0]
            assert expected.setdefault(seed, best.probability) == pytest.approx(best.probability, abs=1e-5)
        assert counted(server, "artoveq_pictures_total") == CONNECTIONS
        again = [stub.Predict(request_of(coded, 7, key=b"once")).answer for stub in many]
        assert all(one == again[0] for one in again)
        assert counted(server, "artoveq_pictures_total") == CONNECTIONS + 1
        with pytest.raises(grpc.RpcError, match="has been used for another picture"):
            many[0].Predict(request_of(coded, 8, key=b"once"))


def test_a_fault_at_the_start_is_one_sentence(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        log.open("w") as stderr,
        pytest.raises(ServerError, match="did not start"),
        server_process(tmp_path, "--workers", "2", stderr=stderr),
    ):
        pass
    assert "error: " in log.read_text() and "Traceback" not in log.read_text()


def test_a_port_that_workers_share_is_in_use_for_others(server: ServerProcess, coded: Artifact, tmp_path: Path) -> None:
    log = tmp_path / "log"
    options = ("--workers", "2", "--port", str(server.port))
    with (
        log.open("w") as stderr,
        pytest.raises(ServerError, match="did not start"),
        server_process(coded.folder, *options, stderr=stderr),
    ):
        pass
    assert f"The port {server.port} on 127.0.0.1 is in use" in log.read_text()


def test_what_is_killed_is_started_anew_and_no_answer_is_wrong(
    server: ServerProcess, coded: Artifact, log: Path
) -> None:
    decoder, *fronts = children(server.process.pid)
    assert len(fronts) == WORKERS
    request = request_of(coded, 1)
    with stubs(server) as many:
        right = many[0].Predict(request).answer.classification.classes[0].index
        os.kill(decoder, signal.SIGKILL)
        answers = [stub.Predict.future(request, timeout=60) for stub in many]
        assert {one.result().answer.classification.classes[0].index for one in answers} == {right}
        os.kill(fronts[0], signal.SIGKILL)
        assert until(60, lambda: "Worker 1 works again." in log.read_text())
        answers = [stub.Predict.future(request, timeout=60, wait_for_ready=True) for stub in many]
        assert {one.result().answer.classification.classes[0].index for one in answers} == {right}
    said = log.read_text()
    assert re.search(r"The decoder's process 1 has ended \(exit code -9\); it is started anew\.", said)
    assert "Worker 1 has ended (exit code -9); it is started anew." in said
    assert len(children(server.process.pid)) == 1 + WORKERS
    assert "Traceback" not in said


def test_models_change_in_all_workers_and_in_those_started_later(
    server: ServerProcess, coded: Artifact, nested: Artifact, log: Path
) -> None:
    url = f"http://127.0.0.1:{server.http_port}/v1"
    added = httpx2.post(f"{url}/models", headers=ADMIN, json={"folder": str(nested.folder)}, timeout=60)
    assert added.status_code == 201
    again = httpx2.post(f"{url}/models", headers=ADMIN, json={"folder": str(nested.folder)}, timeout=60)
    assert again.status_code == 409 and "is served already" in again.text
    request = request_of(nested, 2)

    def answered() -> int:
        with stubs(server) as many:
            return len([stub.Predict(request, timeout=60, wait_for_ready=True) for stub in many])

    assert answered() == CONNECTIONS
    os.kill(children(server.process.pid)[WORKERS - 2], signal.SIGKILL)  # behind it stand two that are new
    again = f"Worker {WORKERS} works again."
    assert until(60, lambda: again in log.read_text())
    assert answered() == CONNECTIONS


def test_streams_are_answered_and_all_ends_in_time(server: ServerProcess, coded: Artifact, log: Path) -> None:
    processes = children(server.process.pid)
    killed = log.read_text().count("ended (exit code")

    async def run() -> None:
        hello = pb.Hello(fingerprint=coded.manifest.fingerprint, reads_moves=True)
        one = request_of(coded, 3)
        async with contextlib.AsyncExitStack() as stack:
            calls = []
            for _ in range(CONNECTIONS):
                channel = grpc.aio.insecure_channel(server.address, [("grpc.use_local_subchannel_pool", 1)])
                call = Stub(await stack.enter_async_context(channel)).Stream()
                await call.write(pb.StreamRequest(hello=hello))
                await call.read()
                calls.append(call)
            assert counted(server, "artoveq_streams") == CONNECTIONS
            shown = httpx2.get(f"http://127.0.0.1:{server.http_port}/v1/edges", headers={"accept": "application/json"})
            connected = [edge["number"] for edge in shown.json()["edges"] if edge["connected"]]
            assert shown.json()["connected"] == len(set(connected)) == len(connected) == CONNECTIONS
            for call in calls:
                payload = pb.Payload(picture_id=1, point=one.point, data=one.data, packed=one.packed)
                await call.write(pb.StreamRequest(payload=payload))
            for call in calls:
                while not (await call.read()).HasField("answer"):
                    pass
            server.process.send_signal(signal.SIGTERM)
            for call in calls:
                assert (await call.read()).HasField("move")

    began = time.monotonic()
    asyncio.run(run())
    server.process.wait(5 + time.monotonic() - began)
    assert not any(Path(f"/proc/{one}").exists() for one in processes)
    assert log.read_text().count("ended (exit code") == killed
