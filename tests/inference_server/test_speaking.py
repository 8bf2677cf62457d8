"""Answers in free text from a served language model: in parts over every form of the service, and as torch has them."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import grpc
import httpx2
import pytest
from typer.testing import CliRunner

from artoveq.cli import app
from edge_client import Answer, Client, File, OneShot, Progressive
from edge_client.modes import Mode
from inference_server.server import Server
from inference_server.settings import read_settings
from tests import tiny
from tests.inference_server.conftest import png
from tests.inference_server.serving import Running, serving
from wire.artifact import Artifact
from wire.exceptions import ArtifactError, QuestionError
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub
from wire.manifest import Base
from wire.payload import PayloadCodec
from wire.shown import MARK, shown

pytest.importorskip("torch")

from tests.speaking import Spoken
from tests.training.spoken import install_language_model

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's exporter
LONGEST, LONG = 12, 512


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Base]:
    with pytest.MonkeyPatch.context() as patch:
        yield install_language_model(tmp_path_factory.mktemp("language"), patch)


@pytest.fixture(scope="module")
def spoken(base: Base, tmp_path_factory: pytest.TempPathFactory) -> Spoken:
    return Spoken(tmp_path_factory.mktemp("models"), base, LONGEST)


@pytest.fixture(scope="module")
def serves(spoken: Spoken) -> Iterator[Running]:
    with serving(spoken.artifact.folder) as running:
        yield running


@pytest.fixture(scope="module")
def client(serves: Running) -> Iterator[Client]:
    with Client(serves.address) as client:
        yield client


@pytest.mark.parametrize("question", ["Is it red?", "Это красное?", "这是红色的吗", "1984 👋 a"])
@pytest.mark.parametrize("mode", [OneShot(), Progressive()])
def test_an_answer_comes_in_parts_and_is_what_torch_says(
    client: Client, spoken: Spoken, question: str, mode: Mode
) -> None:
    came: list[Answer] = []
    result = client.ask(tiny.picture("red"), question, mode, budget="20s", on_answer=came.append)
    *parts, whole = came
    assert len(parts) >= LONGEST - 1 and all(part.partial and not part.final for part in parts)
    assert result.answers == [whole] and whole.final and not whole.partial
    assert whole.reply.text == shown(spoken.says("red", question).rstrip(MARK)) != ""
    assert whole.decode >= parts[-1].decode > parts[0].decode > 0 and whole.confidence <= parts[0].confidence
    assert any(part.reply.text and whole.reply.text.startswith(part.reply.text) for part in parts[:-1])
    assert not client.encoder.manifest.task.names and result.as_record()["answer"] == whole.reply.text


def test_other_pictures_points_and_questions_have_other_answers(client: Client, spoken: Spoken) -> None:
    asked = {}
    for colour in ("red", "green"):
        for question in ("Is it red?", "What is it?"):
            asked[colour, question] = client.ask(tiny.picture(colour), question, budget="20s").reply.text
            assert asked[colour, question] == shown(spoken.says(colour, question).rstrip(MARK))
    assert len(set(asked.values())) == 4
    first = client.ask(tiny.picture("green"), "Is it red?", OneShot(point=1), budget="20s")
    assert first.point == 1 and first.reply.text == shown(spoken.says("green", "Is it red?", (2, 1)).rstrip(MARK))


def test_a_further_question_and_a_file_are_answered(client: Client, spoken: Spoken) -> None:
    first = client.ask(tiny.picture("yellow"), "What is it?", budget="20s")
    further = client.ask(tiny.picture("yellow"), "Why is it?", budget="20s")
    assert further.payload_bytes == len("Why is it?") < first.payload_bytes
    assert further.reply.text == shown(spoken.says("yellow", "Why is it?").rstrip(MARK))
    of_file = client.ask(tiny.picture("yellow"), "Why is it?", File(8, 100), budget="20s")
    assert of_file.reply.text and of_file.answers[-1].final


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("", "The question is empty; ask something about the picture."),
        ("why " * 2500, "The question has 10,000 characters, more than 500; ask a shorter one."),
        ("is it\x1b[31m red", "The question has characters that cannot be seen; ask in plain text."),
    ],
)
def test_what_cannot_be_asked_gets_a_sentence(client: Client, serves: Running, question: str, said: str) -> None:
    with pytest.raises(QuestionError, match=said):
        client.ask(tiny.picture("red"), question)
    with httpx2.Client(base_url=serves.url) as http:
        refused = http.post("/v1/answers", params={"question": question}, content=png("red"))
    assert refused.status_code == 422 and refused.json()["detail"] == said
    run = CliRunner().invoke(app, ["ask", "-", question, "--server", serves.address], input=png("red"))
    assert run.exit_code != 0


def test_rest_answers_whole_or_as_it_comes(serves: Running, spoken: Spoken) -> None:
    wanted = spoken.says("green", "Is it red?").rstrip(MARK)
    with httpx2.Client(base_url=serves.url, timeout=30) as http:
        asked = {"params": {"question": "Is it red?"}, "content": png("green")}
        whole = http.post("/v1/answers", **asked).json()
        assert whole["final"] and whole["answers"][0]["text"] == shown(wanted) and "partial" not in whole
        asked["params"]["points"] = [1, 10]
        events = http.post("/v1/answers/stream", **asked).text.split("\n\n")
    found = [json.loads(one.partition("data: ")[2]) for one in events if "event: answer" in one]
    wholes = [one for one in found if "partial" not in one]
    assert [(one["point"], one["final"]) for one in wholes] == [(1, False), (10, True)] and len(
        found
    ) >= 2 * LONGEST - 2
    assert wholes[1]["answers"] == whole["answers"] and found[-1] is wholes[1]
    assert not any(one["final"] for one in found if "partial" in one)


def test_the_command_prints_what_is_said(serves: Running, spoken: Spoken, tmp_path: Path) -> None:
    (tmp_path / "green.png").write_bytes(png("green"))
    asked = ["ask", str(tmp_path / "green.png"), "Is it red?", "Why?", "--server", serves.address, "--budget", "20s"]
    run = CliRunner().invoke(app, asked)
    assert run.exit_code == 0, run.output
    for question in ("Is it red?", "Why?"):
        assert shown(spoken.says("green", question).rstrip(MARK)) in run.stdout
    assert run.stdout.count(" bytes, point ") == 2
    run = CliRunner().invoke(app, [*asked, "--json"])
    answers = [json.loads(line)["answer"] for line in run.stdout.splitlines()]
    assert answers == [shown(spoken.says("green", question).rstrip(MARK)) for question in ("Is it red?", "Why?")]


@pytest.fixture(scope="module")
def talks(base: Base, tmp_path_factory: pytest.TempPathFactory) -> Spoken:
    return Spoken(tmp_path_factory.mktemp("long"), base, LONG)


def said_on(stream: grpc.Call, count: int) -> list[pb.Answer]:
    """So many answers on a stream."""
    found: list[pb.Answer] = []
    for response in stream:
        for one in response.bundle.responses or (response,):
            if one.WhichOneof("message") == "answer":
                found.append(one.answer)
        if len(found) >= count:
            return found
    return found


def requests(spoken: Spoken, *numbers: int, point: int = 10) -> list[pb.StreamRequest]:
    """A stream's messages: one picture for each number."""
    codec, manifest = PayloadCodec(spoken.artifact.manifest), spoken.artifact.manifest
    data, _ = codec.write_block(tiny.indices_of(tiny.picture("red"), manifest.point(point).sizes), point)
    payloads = [
        pb.Payload(picture_id=number, point=point, data=data, packed=True, question=f"Is it {number}?")
        for number in numbers
    ]
    hello = pb.StreamRequest(hello=pb.Hello(fingerprint=manifest.fingerprint))
    return [hello, *(pb.StreamRequest(payload=payload) for payload in payloads)]


def test_who_has_gone_is_answered_no_further(talks: Spoken) -> None:
    with serving(talks.artifact.folder) as running, grpc.insecure_channel(running.address) as channel:
        (model,) = running.server.deployment.models
        speech, stub = model.decoder.speech, RemoteInferenceServiceStub(channel)
        assert speech is not None
        stream = stub.Stream(iter(requests(talks, 1)))
        assert said_on(stream, 1)[0].partial and speech.busy and model.works
        began = time.monotonic()
        assert all(part.partial for part in said_on(stream, 20))
        whole_s = (time.monotonic() - began) / 20 * LONG
        stream.cancel()
        began = time.monotonic()
        assert waited_for(lambda: not speech.busy) and time.monotonic() - began < whole_s / 2
        closing = pb.StreamRequest(cancel=pb.Cancel(picture_id=1))
        rest = said_on(stub.Stream(iter([*requests(talks, 1), closing])), LONG)
        assert all(part.partial for part in rest) and len(rest) < LONG


def test_who_hangs_up_is_answered_no_further(talks: Spoken) -> None:
    with serving(talks.artifact.folder) as running:
        (model,) = running.server.deployment.models
        speech = model.decoder.speech
        assert speech is not None
        for path in ("/v1/answers", "/v1/answers/stream"):
            http = HTTPConnection("127.0.0.1", running.server.http_port)
            http.request("POST", f"{path}?question=Is+it", png("red"))
            assert waited_for(lambda: speech.busy)
            http.close()
            assert waited_for(lambda: not speech.busy) and model.pictures == 0  # in far fewer tokens than LONG


def waited_for(there: Callable[[], bool]) -> bool:
    until = time.monotonic() + 20
    while not there() and time.monotonic() < until:
        time.sleep(0.005)
    return there()


def test_other_models_answer_meanwhile(talks: Spoken, nested: Artifact) -> None:
    manifest, folders = nested.manifest, (talks.artifact.folder, nested.folder)
    data, _ = PayloadCodec(manifest).write_block(tiny.indices_of(tiny.picture("green"), (16,)), 4)
    with serving(*folders) as running, grpc.insecure_channel(running.address) as channel:
        speech, stub = (
            running.server.deployment.models.named("spoken").decoder.speech,
            RemoteInferenceServiceStub(channel),
        )
        stream = stub.Stream(iter(requests(talks, 1)))
        said_on(stream, 1)
        asked = pb.PredictRequest(fingerprint=manifest.fingerprint, point=4, data=data, packed=True)
        assert stub.Predict(asked).answer.classification.classes[0].name == "green"
        assert speech is not None and speech.busy
        assert said_on(stream, LONG)[-1].final


def test_callers_and_pictures_take_turns(talks: Spoken) -> None:
    with serving(talks.artifact.folder) as running, grpc.insecure_channel(running.address) as channel:
        stub = RemoteInferenceServiceStub(channel)
        found = said_on(stub.Stream(iter(requests(talks, 1, 2))), 40)
        assert {part.picture_id for part in found[:6]} == {1, 2} and all(part.partial for part in found)
        held, done = threading.Event(), threading.Event()

        def keep_busy() -> None:
            said_on(stub.Stream(iter(requests(talks, 1))), 3)
            held.set()
            done.wait(30)

        other = threading.Thread(target=keep_busy)
        other.start()
        assert held.wait(30)
        codec = PayloadCodec(talks.artifact.manifest)
        begun = pb.Payload(picture_id=1, point=10, first_plane=1, plane_count=2, question="Is it?", packed=True)
        indices = tiny.indices_of(tiny.picture("green"), (16, 16))
        begun.data = codec.write_run(indices, 1, 2)[0]
        later = pb.Payload(picture_id=1, point=10, first_plane=3, plane_count=6, packed=True)
        later.data = codec.write_run(indices, 3, 6)[0]
        go = threading.Event()

        def messages() -> Iterator[pb.StreamRequest]:
            yield requests(talks)[0]
            yield pb.StreamRequest(payload=begun)
            go.wait(30)
            yield pb.StreamRequest(payload=later)

        stream = stub.Stream(messages())
        early = said_on(stream, 2)
        go.set()
        rest = said_on(stream, 2 * LONG)
        done.set()
        other.join()
    chain = talks.artifact.manifest.chain
    assert {part.point for part in early} == {chain[1]} and all(part.partial for part in early)
    points = [part.point for part in rest]
    assert (
        points == sorted(points, key=[chain[1], chain[7]].index) and points[-1] == chain[7]
    )  # newer planes begin anew
    assert rest[-1].final and not rest[-1].partial and [part.final for part in rest].count(True) == 1
    said = rest[-1].question_answering.answers[0].text
    assert said == talks.says("green", "Is it?").rstrip(MARK)


def test_serving_without_the_base_names_what_installs_it(spoken: Spoken, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [path for path in sys.path if "language" not in path])
    with pytest.raises(ArtifactError, match=r"`pip install --force-reinstall --no-deps tiny-language==1\.0`"):
        Server(read_settings(model=(spoken.artifact.folder,), host="127.0.0.1", port=0, http_port=0))
