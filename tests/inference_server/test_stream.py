"""The wire's rules, spoken to a real server by hand."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from artoveq.processes import ServerProcess
from edge_client import Encoder
from tests.conftest import PICTURES
from wire.artifact import ENCODER, Artifact, check_file
from wire.bitplanes import pack_planes
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceStub
from wire.pictures import read_picture

PLANE = bytes(64)
NOT_FOUND, INVALID = grpc.StatusCode.NOT_FOUND.value[0], grpc.StatusCode.INVALID_ARGUMENT.value[0]


@pytest.fixture
def stub(server: ServerProcess) -> Iterator[RemoteInferenceStub]:
    with grpc.insecure_channel(server.address) as channel:
        yield RemoteInferenceStub(channel)


def hello(artifact: Artifact) -> pb.StreamRequest:
    return pb.StreamRequest(hello=pb.Hello(fingerprint=artifact.manifest.fingerprint))


def planes(picture_id: int, level: int, first: int, data: bytes, **more: object) -> pb.StreamRequest:
    message = pb.Planes(picture_id=picture_id, level=level, first_plane=first, planes=data, **more)  # type: ignore[arg-type]
    return pb.StreamRequest(planes=message)


def talk(stub: RemoteInferenceStub, artifact: Artifact, *requests: pb.StreamRequest) -> list[pb.StreamResponse]:
    return list(stub.Stream(iter([hello(artifact), *requests])))[1:]


def failures(responses: list[pb.StreamResponse]) -> list[tuple[int, int]]:
    return [(r.failure.picture_id, r.failure.code) for r in responses if r.HasField("failure")]


@pytest.mark.parametrize("name", ["Stream", "Predict", "PredictPicture", "FetchFile"])
def test_bytes_that_are_no_message_are_the_callers_fault(server: ServerProcess, artifact: Artifact, name: str) -> None:
    noise, method = b"\xff\xff\xff\xff\x07no message", f"/artoveq.v1.RemoteInference/{name}"
    with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.RpcError) as refused:
        if name == "Stream":
            list(channel.stream_stream(method)(iter([hello(artifact).SerializeToString(), noise])))
        elif name == "FetchFile":
            list(channel.unary_stream(method)(noise))
        else:
            channel.unary_unary(method)(noise)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "not a message" in (refused.value.details() or "")


def test_planes_are_receipted_and_the_last_answer_is_final(stub: RemoteInferenceStub, artifact: Artifact) -> None:
    responses = talk(stub, artifact, *(planes(1, 3, p, PLANE, top_k=2) for p in (1, 2, 3)))
    receipts = [r.receipt for r in responses if r.HasField("receipt")]
    assert [r.planes for r in receipts] == [1, 2, 3]
    assert sorted(r.received_us for r in receipts) == [r.received_us for r in receipts]
    assert receipts[0].received_bytes == planes(1, 3, 1, PLANE, top_k=2).ByteSize()
    predictions = [r.prediction for r in responses if r.HasField("prediction")]
    assert [p.final for p in predictions] == [False] * (len(predictions) - 1) + [True]
    assert predictions[-1].planes_used == 3
    best, second = predictions[-1].classes
    assert best.probability >= second.probability
    assert best.name == artifact.manifest.classes[best.index]


def test_the_edge_may_stop_early(stub: RemoteInferenceStub, artifact: Artifact) -> None:
    last = talk(stub, artifact, planes(1, 8, 1, PLANE * 2, last=True))[-1].prediction
    assert (last.planes_used, last.final) == (2, True)


def test_coded_planes_give_the_answer_of_packed_ones(stub: RemoteInferenceStub, artifact: Artifact) -> None:
    """One burst of six planes, or two of them apart, packed or coded: the same indices, the same answer."""
    encoder = Encoder(artifact)
    indices = encoder.encode(read_picture(PICTURES / "dingo.png"), 6)
    assert encoder.coder is not None
    packed = b"".join(pack_planes(indices, 6))
    coded = [encoder.coder.encode(indices, 6, first, last) for first, last in ((1, 6), (1, 2), (3, 6))]
    responses = talk(
        stub,
        artifact,
        planes(1, 6, 1, packed),
        planes(2, 6, 1, coded[0], coded=6),
        planes(3, 6, 1, coded[1], coded=2),
        planes(3, 6, 3, coded[2], coded=4),
    )
    final = [r.prediction for r in responses if r.HasField("prediction") and r.prediction.final]
    answers = [(p.planes_used, p.classes[0].name, round(p.classes[0].probability, 4)) for p in final]
    assert len(answers) == 3 and len(set(answers)) == 1
    assert len(coded[0]) < len(packed)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (planes(1, 4, 1, PLANE[:-1]), INVALID),
        (planes(1, 4, 1, PLANE, coded=5), INVALID),
        (planes(1, 4, 1, PLANE[:-1], coded=1), INVALID),
        (planes(1, 4, 1, b"", coded=1), INVALID),
        (planes(1, 4, 1, PLANE * 9, coded=1), INVALID),
        (planes(1, 4, 1, b""), INVALID),
        (planes(1, 4, 1, PLANE * 5), INVALID),
        (planes(1, 0, 1, PLANE), INVALID),
        (planes(1, 9, 1, PLANE), INVALID),
        (planes(1, 4, 2, PLANE), NOT_FOUND),
    ],
)
def test_a_bad_message_fails_its_picture_alone(
    stub: RemoteInferenceStub, artifact: Artifact, request_: pb.StreamRequest, code: int
) -> None:
    responses = talk(stub, artifact, request_, planes(2, 1, 1, PLANE))
    assert failures(responses) == [(1, code)]
    assert all(r.failure.message for r in responses if r.HasField("failure"))
    assert responses[-1].prediction.picture_id == 2


def test_planes_out_of_order_or_repeated(stub: RemoteInferenceStub, artifact: Artifact) -> None:
    for first in (1, 3):
        responses = talk(stub, artifact, planes(1, 4, 1, PLANE), planes(1, 4, first, PLANE), planes(1, 4, 2, PLANE))
        assert failures(responses) == [(1, INVALID), (1, NOT_FOUND)]


def test_a_level_may_not_change_within_a_picture(stub: RemoteInferenceStub, artifact: Artifact) -> None:
    assert failures(talk(stub, artifact, planes(1, 4, 1, PLANE), planes(1, 5, 2, PLANE))) == [(1, INVALID)]


def test_planes_of_a_cancelled_picture(stub: RemoteInferenceStub, artifact: Artifact) -> None:
    cancel = pb.StreamRequest(cancel=pb.Cancel(picture_id=1))
    responses = talk(stub, artifact, planes(1, 4, 1, PLANE), cancel, planes(1, 4, 2, PLANE))
    assert failures(responses) == [(1, NOT_FOUND)]


def test_a_ping_is_answered(stub: RemoteInferenceStub, artifact: Artifact) -> None:
    (pong,) = talk(stub, artifact, pb.StreamRequest(ping=pb.Ping(id=5)))
    assert pong.pong.id == 5 and pong.pong.received_us > 0


def status(stub: RemoteInferenceStub, *requests: pb.StreamRequest) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        list(stub.Stream(iter(requests)))
    return caught.value.code(), caught.value.details()


def test_the_first_message_must_be_hello(stub: RemoteInferenceStub, artifact: Artifact) -> None:
    assert status(stub, planes(1, 1, 1, PLANE))[0] == grpc.StatusCode.INVALID_ARGUMENT
    assert status(stub)[0] == grpc.StatusCode.INVALID_ARGUMENT
    assert status(stub, hello(artifact), hello(artifact))[0] == grpc.StatusCode.INVALID_ARGUMENT
    assert status(stub, hello(artifact), pb.StreamRequest())[0] == grpc.StatusCode.INVALID_ARGUMENT


def test_another_model_is_refused(stub: RemoteInferenceStub) -> None:
    other = pb.StreamRequest(hello=pb.Hello(fingerprint="0" * 64))
    code, said = status(stub, other)
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    assert "start both with the same model" in said


def test_unary_forms(stub: RemoteInferenceStub, artifact: Artifact) -> None:
    fingerprint = artifact.manifest.fingerprint
    answer = stub.Predict(pb.PredictRequest(fingerprint=fingerprint, level=2, planes=PLANE * 2, top_k=10))
    assert answer.planes_used == 2
    assert np.isclose(sum(c.probability for c in answer.classes), 1, atol=1e-4)
    picture = (PICTURES / "dingo.png").read_bytes()
    assert stub.PredictPicture(pb.PredictPictureRequest(picture=picture)).classes[0].name == "dingo"
    for request in (
        pb.PredictRequest(fingerprint=fingerprint, level=9, planes=PLANE * 9),
        pb.PredictRequest(fingerprint=fingerprint, level=2, planes=PLANE),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            stub.Predict(request)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.RpcError) as caught:
        stub.PredictPicture(pb.PredictPictureRequest(picture=b"no picture"))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_an_edge_can_provision_itself(stub: RemoteInferenceStub, artifact: Artifact) -> None:
    fingerprint = stub.DescribeModel(pb.DescribeModelRequest()).fingerprint
    assert fingerprint == artifact.manifest.fingerprint
    chunks = stub.FetchFile(pb.FetchFileRequest(fingerprint=fingerprint, name=ENCODER))
    check_file(artifact.manifest, ENCODER, b"".join(c.data for c in chunks))
    for name in ("decoder.onnx", "../../../etc/passwd"):
        with pytest.raises(grpc.RpcError) as caught:
            list(stub.FetchFile(pb.FetchFileRequest(fingerprint=fingerprint, name=name)))
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_health_and_reflection(server: ServerProcess) -> None:
    with grpc.insecure_channel(server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", "artoveq.v1.RemoteInference"):
            answer = health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        (answer,) = reflection.ServerReflectionInfo(iter([request]))
        assert "artoveq.v1.RemoteInference" in [s.name for s in answer.list_services_response.service]


def test_a_bundle_is_answered_by_picture_with_one_receipt(stub: RemoteInferenceStub, artifact: Artifact) -> None:
    shared = pb.Planes(picture_id=4, level=2, first_plane=1, planes=PLANE * 2 + PLANE + b"x" + PLANE * 2)
    bundle = pb.Bundle(shared=shared, lengths=[128, 64, 1, 128], steps=[1, 3, 1])
    responses = talk(stub, artifact, pb.StreamRequest(bundle=bundle), planes(5, 2, 2, PLANE))
    receipts = [(r.receipt.picture_id, r.receipt.planes) for r in responses if r.HasField("receipt")]
    assert receipts == [(9, 2), (5, 2)]
    finals = {r.prediction.picture_id for r in responses if r.HasField("prediction") and r.prediction.final}
    assert finals == {4, 5, 9}
    assert failures(responses) == [(8, INVALID)]


def test_a_bundle_that_is_none_ends_the_stream(stub: RemoteInferenceStub, artifact: Artifact) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        talk(stub, artifact, pb.StreamRequest(bundle=pb.Bundle()))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_a_file_is_answered_like_planes_of_the_highest_level(stub: RemoteInferenceStub, artifact: Artifact) -> None:
    data = (PICTURES / "dingo.png").read_bytes()

    def requests() -> Iterator[pb.StreamRequest]:
        yield hello(artifact)
        for number, file in ((1, data), (2, b"none")):
            yield pb.StreamRequest(file=pb.PictureFile(picture_id=number, file=file))
        heard.wait(10)  # a picture whose planes are still due is forgotten when the edge has said everything

    heard = threading.Event()
    responses = []
    for response in stub.Stream(requests()):
        responses.append(response)
        if sum(r.HasField("prediction") or r.HasField("failure") for r in responses) == 2:
            heard.set()
    (prediction,) = [r.prediction for r in responses if r.HasField("prediction")]
    assert prediction.final and prediction.planes_used == 8 and prediction.classes[0].name == "dingo"
    assert failures(responses) == [(2, INVALID)]
    assert sum(r.HasField("receipt") for r in responses) == 2


def test_edges_that_understand_it_hear_what_is_ready_at_once(stub: RemoteInferenceStub, artifact: Artifact) -> None:
    greeting = pb.StreamRequest(hello=pb.Hello(fingerprint=artifact.manifest.fingerprint, reads_bundles=True))
    shared = pb.Planes(picture_id=1, level=1, first_plane=1, planes=PLANE * 20)
    bundle = pb.Bundle(shared=shared, lengths=[64])
    responses = list(stub.Stream(iter([greeting, pb.StreamRequest(bundle=bundle)])))
    assert responses[0].welcome.reads_bundles
    answered = [
        one.prediction.picture_id for r in responses for one in r.bundle.responses if one.HasField("prediction")
    ]
    assert len(responses) < 12
    assert sorted(answered)[-5:] == [16, 17, 18, 19, 20]


def test_planes_may_give_up_pictures_on_the_way(stub: RemoteInferenceStub, artifact: Artifact) -> None:
    first, second = planes(1, 8, 1, PLANE), planes(2, 1, 1, PLANE, given_up=[1])
    assert failures(talk(stub, artifact, first, second, planes(1, 8, 2, PLANE))) == [(1, NOT_FOUND)]
