"""The wire's rules, spoken to a real server by hand."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests import tiny
from tests.inference_server.conftest import png
from tests.inference_server.serving import Running
from wire.artifact import Artifact, check_file
from wire.entropy import open_coder
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub as Stub
from wire.manifest import ENCODER, TABLES
from wire.payload import PayloadCodec

PLANE = bytes(2)
TOP = 10
"""The last point of `tiny.progressive`, and of its chain of 8 planes."""
NOT_FOUND, INVALID = grpc.StatusCode.NOT_FOUND.value[0], grpc.StatusCode.INVALID_ARGUMENT.value[0]


def hello(artifact: Artifact, **more: object) -> pb.StreamRequest:
    return pb.StreamRequest(hello=pb.Hello(fingerprint=artifact.manifest.fingerprint, **more))  # type: ignore[arg-type]


def planes(picture_id: int, first: int, count: int, data: bytes, point: int = TOP, **more: object) -> pb.StreamRequest:
    return payload(picture_id, point, data, first_plane=first, plane_count=count, **more)


def payload(picture_id: int, point: int, data: bytes, **more: object) -> pb.StreamRequest:
    return pb.StreamRequest(payload=pb.Payload(picture_id=picture_id, point=point, data=data, **more))  # type: ignore[arg-type]


def exchange(stub: Stub, artifact: Artifact, *requests: pb.StreamRequest) -> list[pb.StreamResponse]:
    return list(stub.Stream(iter([hello(artifact), *requests])))[1:]


def failures(responses: list[pb.StreamResponse]) -> list[tuple[int, int]]:
    return [(r.failure.picture_id, r.failure.code) for r in responses if r.HasField("failure")]


def finals(responses: list[pb.StreamResponse]) -> dict[int, pb.Answer]:
    return {r.answer.picture_id: r.answer for r in responses if r.HasField("answer") and r.answer.final}


def best(answer: pb.Answer) -> str:
    return answer.classification.classes[0].name


@pytest.mark.parametrize("name", ["Stream", "Predict", "PredictPicture", "FetchFile"])
def test_bytes_that_are_no_message_are_the_callers_fault(server: Running, progressive: Artifact, name: str) -> None:
    noise, method = b"\xff\xff\xff\xff\x07no message", f"/artoveq.v1.RemoteInferenceService/{name}"
    with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.RpcError) as refused:
        if name == "Stream":
            list(channel.stream_stream(method)(iter([hello(progressive).SerializeToString(), noise])))
        elif name == "FetchFile":
            list(channel.unary_stream(method)(noise))
        else:
            channel.unary_unary(method)(noise)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "not a message" in (refused.value.details() or "")


def test_planes_are_receipted_and_the_last_answer_is_final(stub: Stub, progressive: Artifact) -> None:
    """In runs of any length, up to the point that was said."""
    indices = tiny.indices_of(tiny.picture("green"), (16, 16))
    codec = PayloadCodec(progressive.manifest)
    runs = [planes(1, first, count, codec.write_run(indices, first, count)[0], 7, top_k=2) for first, count in
            ((1, 1), (2, 3), (5, 1))]  # fmt: skip
    responses = exchange(stub, progressive, *runs)
    receipts = [r.receipt for r in responses if r.HasField("receipt")]
    assert [r.planes for r in receipts] == [1, 4, 5]
    assert sorted(r.received_us for r in receipts) == [r.received_us for r in receipts]
    assert receipts[0].received_bytes == runs[0].ByteSize()
    answers = [r.answer for r in responses if r.HasField("answer")]
    assert [a.final for a in answers] == [False] * (len(answers) - 1) + [True]
    assert answers[-1].point == progressive.manifest.chain[4] == 7
    first, second = answers[-1].classification.classes
    assert first.probability >= second.probability
    assert first.name == "green" == progressive.manifest.task.classes[first.index]


def test_the_edge_may_stop_early(stub: Stub, progressive: Artifact) -> None:
    last = exchange(stub, progressive, planes(1, 1, 3, PLANE * 3, last=True))[-1].answer
    assert (last.point, last.final) == (4, True)


def test_coded_planes_give_the_answer_of_packed_ones(stub: Stub, coded: Artifact) -> None:
    """The whole chain as one run, as two, or as the block of its last point; packed or coded."""
    indices = tiny.indices_of(tiny.noise(5), (16, 16))
    codec, packed = PayloadCodec(coded.manifest, open_coder(coded)), PayloadCodec(coded.manifest)

    def run(number: int, first: int, count: int, writer: PayloadCodec = codec) -> pb.StreamRequest:
        data, is_packed = writer.write_run(indices, first, count)
        return planes(number, first, count, data, packed=is_packed)

    data, is_packed = codec.write_block(indices, TOP)
    found = finals(
        exchange(
            stub,
            coded,
            run(1, 1, 8, packed),
            run(2, 1, 8),
            run(3, 1, 3),
            run(3, 4, 5),
            payload(4, TOP, data, packed=is_packed),
        )
    )
    answers = {(a.point, best(a), round(a.classification.classes[0].probability, 4)) for a in found.values()}
    assert sorted(found) == [1, 2, 3, 4] and len(answers) == 1
    assert not run(2, 1, 8).payload.packed and len(run(2, 1, 8).payload.data) < 16


def test_every_point_of_every_model_is_answered(
    stub: Stub, progressive: Artifact, coded: Artifact, nested: Artifact, any_size: Artifact
) -> None:
    for artifact in (progressive, coded, nested, any_size):
        codec, blocks = PayloadCodec(artifact.manifest, open_coder(artifact)), []
        for point, row in enumerate(artifact.manifest.points, 1):
            data, packed = codec.write_block(tiny.indices_of(tiny.picture("red"), row.sizes), point)
            blocks.append(payload(point, point, data, packed=packed))
        found = finals(exchange(stub, artifact, *blocks))
        assert {number: answer.point for number, answer in found.items()} == {n: n for n in range(1, len(blocks) + 1)}
        assert {best(found[n]) for n, row in enumerate(artifact.manifest.points, 1) if min(row.sizes) > 1} == {"red"}


def refused(stub: Stub, artifact: Artifact, request: pb.StreamRequest, after: pb.StreamRequest) -> pb.Failure:
    """How picture 1 fails, while picture 2 is answered."""
    responses = exchange(stub, artifact, request, after)
    (failure,) = [r.failure for r in responses if r.HasField("failure")]
    assert failure.picture_id == 1 and failure.message.endswith((".", ")")) and list(finals(responses)) == [2]
    return failure


@pytest.mark.parametrize(
    ("request_", "code", "said"),
    [
        (planes(1, 1, 1, b"x"), INVALID, "has 1 bytes; packed, these 1 planes take 2"),
        (planes(1, 1, 1, b"xyz"), INVALID, "has 3 bytes"),
        (planes(1, 1, 3, b""), INVALID, "has 0 bytes"),
        (planes(1, 1, 9, PLANE * 9), INVALID, "9 planes came where 1 to 8 were due"),
        (planes(1, 1, 0, PLANE), INVALID, "0 planes came"),
        (planes(1, 1, 2, PLANE * 2, 3), INVALID, "No planes end in point 3"),
        (planes(1, 2, 1, PLANE), NOT_FOUND, "was not begun"),
        (planes(1, 1, 1, PLANE, 11), INVALID, "Point 11 does not exist; the points of .* are 1 to 10"),
        (payload(1, 0, PLANE), INVALID, "Point 0 does not exist"),
        (payload(1, 3, PLANE), INVALID, "has 2 bytes"),
        (payload(1, 3, PLANE * 3), INVALID, "has 6 bytes"),
        (payload(1, 3, PLANE * 2, plane_count=2), INVALID, "Planes are counted from 1"),
    ],
)
def test_a_bad_message_fails_its_picture_alone(
    stub: Stub, progressive: Artifact, request_: pb.StreamRequest, code: int, said: str
) -> None:
    failure = refused(stub, progressive, request_, planes(2, 1, 1, PLANE, 1))
    assert failure.code == code
    assert re.search(said, failure.message)


@pytest.mark.parametrize("change", [-1, 1])
def test_a_byte_too_few_or_too_many_fails_in_each_coding(
    stub: Stub, coded: Artifact, nested: Artifact, any_size: Artifact, change: int
) -> None:
    for artifact, point, packed in (
        (coded, TOP, False),
        (coded, TOP, True),
        (nested, 4, False),
        (any_size, 7, True),
    ):
        codec = PayloadCodec(artifact.manifest, None if packed else open_coder(artifact))
        indices = tiny.indices_of(tiny.noise(3), artifact.manifest.point(point).sizes)
        data, is_packed = codec.write_block(indices, point)
        assert TABLES not in artifact.manifest.files or is_packed == packed
        wrong = data[:-1] if change < 0 else data + b"\0"
        failure = refused(
            stub, artifact, payload(1, point, wrong, packed=packed), payload(2, point, data, packed=packed)
        )
        assert failure.code == INVALID and f"has {len(wrong)} bytes" in failure.message


def test_a_coded_string_with_a_word_too_many_fails(stub: Stub, coded: Artifact) -> None:
    codec = PayloadCodec(coded.manifest, open_coder(coded))
    data, packed = codec.write_block(tiny.indices_of(tiny.noise(3), (16, 16)), TOP)
    assert not packed
    failure = refused(stub, coded, payload(1, TOP, data + bytes(8)), payload(2, TOP, data))
    assert failure.code == INVALID and "longer than this point's" in failure.message


def test_a_number_too_large_for_its_sizes_fails(stub: Stub, any_size: Artifact) -> None:
    right = any_size.manifest.point(2).payload_bytes
    failure = refused(
        stub, any_size, payload(1, 2, b"\xff" * right, packed=True), payload(2, 2, bytes(right), packed=True)
    )
    assert failure.code == INVALID and "too large for the sizes" in failure.message


def test_planes_to_a_model_that_is_not_refinable(stub: Stub, nested: Artifact) -> None:
    failure = refused(stub, nested, planes(1, 1, 1, bytes(4), 2), payload(2, 1, bytes(4), packed=True))
    assert failure.code == INVALID and "not refinable" in failure.message


def test_planes_out_of_order_or_repeated(stub: Stub, progressive: Artifact) -> None:
    for first in (1, 3):
        requests = [planes(1, number, 1, PLANE) for number in (1, first, 2)]
        assert failures(exchange(stub, progressive, *requests)) == [(1, INVALID), (1, NOT_FOUND)]


def test_a_point_may_not_change_within_a_picture(stub: Stub, progressive: Artifact) -> None:
    for second in (planes(1, 2, 1, PLANE, 7), payload(1, TOP, PLANE * 8)):
        assert failures(exchange(stub, progressive, planes(1, 1, 1, PLANE), second)) == [(1, INVALID)]


def test_planes_of_a_cancelled_picture(stub: Stub, progressive: Artifact) -> None:
    cancel = pb.StreamRequest(cancel=pb.Cancel(picture_id=1))
    responses = exchange(stub, progressive, planes(1, 1, 1, PLANE), cancel, planes(1, 2, 1, PLANE))
    assert failures(responses) == [(1, NOT_FOUND)]


def test_a_ping_is_answered(stub: Stub, progressive: Artifact) -> None:
    (pong,) = exchange(stub, progressive, pb.StreamRequest(ping=pb.Ping(id=5)))
    assert pong.pong.id == 5 and pong.pong.received_us > 0


def status(stub: Stub, *requests: pb.StreamRequest) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        list(stub.Stream(iter(requests)))
    return caught.value.code(), caught.value.details() or ""


def test_the_first_message_must_be_hello(stub: Stub, progressive: Artifact) -> None:
    greeting = hello(progressive)
    for requests in ((planes(1, 1, 1, PLANE),), (), (greeting, greeting), (greeting, pb.StreamRequest())):
        assert status(stub, *requests)[0] == grpc.StatusCode.INVALID_ARGUMENT


def test_another_model_is_refused(stub: Stub) -> None:
    code, said = status(stub, pb.StreamRequest(hello=pb.Hello(fingerprint="0" * 64)))
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    assert "start both with the same model" in said


def test_unary_forms(stub: Stub, progressive: Artifact, nested: Artifact) -> None:
    fingerprint = progressive.manifest.fingerprint
    asked = pb.PredictRequest(fingerprint=fingerprint, point=3, data=bytes(4), top_k=10)
    answer = stub.Predict(asked).answer
    assert (answer.point, answer.final, best(answer)) == (3, True, "black")
    assert np.isclose(sum(c.probability for c in answer.classification.classes), 1, atol=1e-4)
    for model in (progressive, nested):
        request = pb.PredictPictureRequest(picture=png("yellow"), fingerprint=model.manifest.fingerprint)
        answer = stub.PredictPicture(iter([request])).answer
        assert (best(answer), answer.point) == ("yellow", len(model.manifest.points))
    for wrong in (
        pb.PredictRequest(fingerprint=fingerprint, point=11, data=bytes(4)),
        pb.PredictRequest(fingerprint=fingerprint, point=3, data=bytes(3)),
        pb.PredictRequest(fingerprint=fingerprint, point=3, data=bytes(4), key=bytes(65)),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            stub.Predict(wrong)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.RpcError) as caught:
        stub.PredictPicture(iter([pb.PredictPictureRequest(picture=b"no picture")]))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_a_key_is_bound_to_what_was_asked(stub: Stub, progressive: Artifact) -> None:
    fingerprint = progressive.manifest.fingerprint
    asked = pb.PredictRequest(fingerprint=fingerprint, point=3, data=bytes(4), key=b"a picture of this test")
    assert stub.Predict(asked) == stub.Predict(asked)
    asked.data = b"abcd"
    with pytest.raises(grpc.RpcError, match="has been used for another picture") as caught:
        stub.Predict(asked)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_an_edge_can_provision_itself(stub: Stub, progressive: Artifact, coded: Artifact) -> None:
    for artifact, name in ((progressive, ""), (coded, coded.manifest.name), (coded, coded.manifest.fingerprint)):
        fingerprint = stub.DescribeModel(pb.DescribeModelRequest(model=name)).fingerprint
        assert fingerprint == artifact.manifest.fingerprint
    for name in (ENCODER, TABLES):
        chunks = stub.FetchFile(pb.FetchFileRequest(fingerprint=fingerprint, name=name))
        check_file(coded.manifest, name, b"".join(c.data for c in chunks))
    for name in ("decoder.onnx", "../../../etc/passwd"):
        with pytest.raises(grpc.RpcError) as caught:
            list(stub.FetchFile(pb.FetchFileRequest(fingerprint=fingerprint, name=name)))
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.RpcError, match="has no model 'another'") as caught:
        stub.DescribeModel(pb.DescribeModelRequest(model="another"))
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION


def test_health_and_reflection(server: Running) -> None:
    service = "artoveq.v1.RemoteInferenceService"
    with grpc.insecure_channel(server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", service):
            answer = health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        (answer,) = reflection.ServerReflectionInfo(iter([request]))
        assert service in [s.name for s in answer.list_services_response.service]


def test_a_bundle_is_answered_by_picture_with_one_receipt(stub: Stub, progressive: Artifact) -> None:
    shared = pb.Payload(picture_id=4, point=2, first_plane=1, plane_count=2, data=PLANE * 2 + b"x" + PLANE * 2)
    bundle = pb.PayloadBundle(shared=shared, lengths=[4, 1, 4], steps=[4, 1])
    responses = exchange(stub, progressive, pb.StreamRequest(bundle=bundle))
    receipts = [(r.receipt.picture_id, r.receipt.planes) for r in responses if r.HasField("receipt")]
    assert receipts == [(9, 2)]
    assert set(finals(responses)) == {4, 9}
    assert failures(responses) == [(8, INVALID)]


def test_a_bundle_that_is_none_ends_the_stream(stub: Stub, progressive: Artifact) -> None:
    with pytest.raises(grpc.RpcError) as ended:
        exchange(stub, progressive, pb.StreamRequest(bundle=pb.PayloadBundle()))
    assert ended.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_a_file_is_answered_at_the_best_point(stub: Stub, any_size: Artifact) -> None:
    def requests() -> Iterator[pb.StreamRequest]:
        yield hello(any_size)
        for number, file in ((1, png("red")), (2, b"none")):
            yield pb.StreamRequest(file=pb.PictureFile(picture_id=number, file=file))
        taken_in.wait(10)  # a picture that is not complete is forgotten when the edge has said everything

    taken_in = threading.Event()
    responses = []
    for response in stub.Stream(requests()):
        responses.append(response)
        if sum(r.HasField("answer") or r.HasField("failure") for r in responses) == 2:
            taken_in.set()
    (answer,) = finals(responses).values()
    assert answer.point == len(any_size.manifest.points) and best(answer) == "red"
    assert failures(responses) == [(2, INVALID)]
    assert sum(r.HasField("receipt") for r in responses) == 2


def test_edges_that_understand_it_hear_what_is_ready_at_once(stub: Stub, progressive: Artifact) -> None:
    shared = pb.Payload(picture_id=1, point=3, data=bytes(4) * 20)
    bundle = pb.StreamRequest(bundle=pb.PayloadBundle(shared=shared, lengths=[4]))
    responses = list(stub.Stream(iter([hello(progressive, reads_bundles=True), bundle])))
    assert responses[0].welcome.reads_bundles
    answered = [one.answer.picture_id for r in responses for one in r.bundle.responses if one.HasField("answer")]
    assert len(responses) < 12
    assert sorted(answered)[-5:] == [16, 17, 18, 19, 20]


def test_a_payload_may_give_up_pictures_on_the_way(stub: Stub, progressive: Artifact) -> None:
    first, second = planes(1, 1, 1, PLANE), payload(2, 3, bytes(4), given_up=[1])
    assert failures(exchange(stub, progressive, first, second, planes(1, 2, 1, PLANE))) == [(1, NOT_FOUND)]
