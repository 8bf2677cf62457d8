"""Questions about pictures, over gRPC: what is answered, and what gets a sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator

import grpc
import httpx2
import numpy as np
import pytest
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status

from inference_server.decoder import OnnxDecoder
from inference_server.rpc.details import STATUS
from tests import tiny
from tests.inference_server.conftest import png
from tests.inference_server.serving import Running, serving
from wire.artifact import Artifact
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub
from wire.payload import PayloadCodec
from wire.questions import question_of


@pytest.fixture(scope="module")
def asking(asked: Artifact, nested: Artifact) -> Iterator[Running]:
    with serving(asked.folder, nested.folder) as running:
        yield running


@pytest.fixture
def stub(asking: Running) -> Iterator[RemoteInferenceServiceStub]:
    with grpc.insecure_channel(asking.address) as channel:
        yield RemoteInferenceServiceStub(channel)


def payload(artifact: Artifact, colour: str) -> bytes:
    codec, point = PayloadCodec(artifact.manifest), len(artifact.manifest.points)
    return codec.write_block(tiny.indices_of(tiny.picture(colour), (16, 16)), point)[0]


def request(artifact: Artifact, question: str, colour: str = "red") -> pb.PredictRequest:
    fingerprint, point = artifact.manifest.fingerprint, len(artifact.manifest.points)
    data = payload(artifact, colour)
    return pb.PredictRequest(fingerprint=fingerprint, point=point, data=data, packed=True, question=question)


def best(answer: pb.Answer) -> str:
    return answer.question_answering.answers[0].text


@pytest.mark.parametrize(
    ("question", "answers"),
    [
        ("Is it red?", ["no", "yes", "no", "yes"]),
        ("IS IT GREEN", ["no", "no", "yes", "yes"]),
        ("What colour is it?", ["black", "red", "green", "yellow"]),
    ],
)
def test_the_answer_is_that_to_the_question(asked: Artifact, question: str, answers: list[str]) -> None:
    decoder, manifest = OnnxDecoder(asked, 1), asked.manifest
    indices = np.stack([tiny.indices_of(tiny.picture(colour), (16, 16)) for colour in tiny.CLASSES])
    questions = np.tile(question_of(manifest, question), (4, 1))
    found = decoder.decode(indices, np.full((4, 2), 16, np.int32), np.full(4, 10), questions)
    assert manifest.task.questions is not None
    assert [manifest.task.questions.answers[i] for i in found.argmax(1)] == answers
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)


def test_each_form_of_the_service_takes_a_question(stub: RemoteInferenceServiceStub, asked: Artifact) -> None:
    assert best(stub.Predict(request(asked, "Is it red?")).answer) == "yes"
    assert best(stub.Predict(request(asked, "Is it red?", "green")).answer) == "no"
    pieces = [pb.PredictPictureRequest(picture=png("green"), question="what colour")]
    assert best(stub.PredictPicture(iter(pieces)).answer) == "green"


def test_a_stream_answers_further_questions_without_the_picture(
    stub: RemoteInferenceServiceStub, asked: Artifact
) -> None:
    data = payload(asked, "red")
    said = [
        pb.StreamRequest(hello=pb.Hello(fingerprint=asked.manifest.fingerprint)),
        pb.StreamRequest(payload=pb.Payload(picture_id=1, point=10, data=data, packed=True, question="Is it red?")),
        pb.StreamRequest(question=pb.Question(picture_id=2, back=1, question="Is it green?")),
        pb.StreamRequest(file=pb.PictureFile(picture_id=3, file=png("yellow"), question="What colour?")),
        pb.StreamRequest(question=pb.Question(picture_id=4, back=9, question="Is it green?")),
    ]
    found: dict[int, str] = {}
    for response in stub.Stream(iter(said)):
        if response.WhichOneof("message") == "answer":
            found[response.answer.picture_id] = best(response.answer)
        elif response.WhichOneof("message") == "failure":
            found[response.failure.picture_id] = response.failure.reason
    assert found == {1: "yes", 2: "no", 3: "yellow", 4: "PICTURE_NOT_KEPT"}


@pytest.mark.parametrize(
    ("model", "question", "said"),
    [
        ("asked", "", "The question is empty; ask something about the picture."),
        ("asked", "why " * 2500, "The question has 10,000 characters, more than 500; ask a shorter one."),
        ("asked", "это красное?", "does not know 'это', 'красное'; ask in the words of its manifest."),
        ("asked", "is it\x1b[31m red", "The question has characters that cannot be seen; ask in plain text."),
        ("nested", "Is it red?", "answers no questions; leave the question out, or name another model."),
    ],
)
def test_what_cannot_be_answered_gets_a_sentence(
    stub: RemoteInferenceServiceStub, request_: pb.PredictRequest, said: str
) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        stub.Predict(request_)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT and said in raised.value.details()
    status, bad = Status.FromString(dict(raised.value.trailing_metadata())[STATUS]), BadRequest()
    assert status.details[0].Unpack(bad) and bad.field_violations[0].field == "question"


@pytest.fixture
def request_(model: str, question: str, asked: Artifact, nested: Artifact) -> pb.PredictRequest:
    return request(asked, question) if model == "asked" else _block(nested, question)


def _block(artifact: Artifact, question: str) -> pb.PredictRequest:
    fingerprint, data = artifact.manifest.fingerprint, bytes(artifact.manifest.point(1).payload_bytes)
    return pb.PredictRequest(fingerprint=fingerprint, point=1, data=data, packed=True, question=question)


@pytest.fixture
def http(asking: Running) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=asking.url) as client:
        yield client


def test_rest_answers_a_question(http: httpx2.Client) -> None:
    asked = {"question": "Is it green?", "top_k": 2}
    body = http.post("/v1/answers", content=png("green"), params=asked).json()
    assert (body["point"], body["final"], [one["text"] for one in body["answers"]]) == (10, True, ["yes", "no"])
    form = {"files": {"picture": png("red")}, "params": {"question": "what colour", "point": 9}}
    assert http.post("/v1/answers", **form).json()["answers"][0]["text"] == "red"  # type: ignore[arg-type]


def test_rest_streams_answers_that_refine(http: httpx2.Client) -> None:
    params = {"question": "What colour?", "points": [1, 4, 10]}
    text = http.post("/v1/answers/stream", content=png("red"), params=params).text
    assert text.count("event: answer\n") == 3
    bodies = [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]
    assert [(one["point"], one["final"]) for one in bodies] == [(1, False), (4, False), (10, True)]
    assert bodies[-1]["answers"][0]["text"] == "red"


@pytest.mark.parametrize(
    ("path", "params", "said"),
    [
        ("/v1/answers", {"question": ""}, "The question is empty"),
        ("/v1/answers", {"question": "x" * 10_000}, "has 10,000 characters, more than 500"),
        ("/v1/answers/stream", {"question": "это красное?"}, "does not know 'это'"),
        ("/v1/answers", {"question": "is it\x00 red"}, "characters that cannot be seen"),
        ("/v1/answers", {"question": "Is it red?", "model": "tiny-nested"}, "answers no questions"),
        ("/v1/predictions", {}, "The question is empty"),
        ("/v1/predictions/stream", {}, "The question is empty"),
    ],
)
def test_rest_says_what_is_wrong_with_a_question(
    http: httpx2.Client, path: str, params: dict[str, str], said: str
) -> None:
    answer = http.post(path, content=png("red"), params=params)
    assert answer.status_code == 422 and answer.json()["type"] == "urn:artoveq:problem:question-unanswerable"
    assert said in answer.json()["detail"] and "answers" not in answer.json()
