"""The Open Inference Protocol, by gRPC and HTTP piece by piece; tritonclient speaks it in test_tritonclient.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc
import httpx2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inference_server.open_inference.inference import MOST_PICTURES
from inference_server.open_inference.tensors import TYPES, Tensor, TensorError, from_raw, from_values, to_raw
from tests.inference_server.conftest import TOKEN, png
from tests.inference_server.serving import Running, serving
from wire.artifact import Artifact
from wire.generated import open_inference_pb2 as pb
from wire.generated.open_inference_pb2_grpc import GRPCInferenceServiceStub
from wire.payload import PayloadCodec

INFER = "/v2/models/{}/infer"


@pytest.fixture
def inference(server: Running) -> Iterator[GRPCInferenceServiceStub]:
    with grpc.insecure_channel(server.address) as channel:
        yield GRPCInferenceServiceStub(channel)


def indices_of(artifact: Artifact, point: int, pictures: int = 2) -> np.ndarray[Any, np.dtype[np.int32]]:
    sizes = PayloadCodec(artifact.manifest).sub_vector_sizes(point)
    return np.random.default_rng(0).integers(0, sizes, (pictures, len(sizes)), np.int32)


@given(st.sampled_from(sorted(TYPES)).flatmap(lambda kind: hnp.arrays(TYPES[kind], hnp.array_shapes(max_side=4))))
def test_numbers_cross_as_they_are(values: Any) -> None:
    tensor = Tensor("x", values)
    back = from_raw("x", tensor.datatype, tensor.shape, to_raw(tensor))
    assert isinstance(back.values, np.ndarray) and back.values.dtype == values.dtype
    np.testing.assert_array_equal(back.values, values)


@given(st.lists(st.binary(max_size=20), max_size=5))
def test_bytes_cross_as_they_are(values: list[bytes]) -> None:
    assert from_raw("x", "BYTES", [len(values)], to_raw(Tensor("x", values))).values == values


@given(st.binary(max_size=40), st.lists(st.integers(-3, 5), max_size=3), st.sampled_from([*TYPES, "BYTES", "FP64"]))
def test_what_is_no_tensor_is_refused(data: bytes, shape: list[int], kind: str) -> None:
    """Whatever is said, it is taken as it is, or refused with a sentence."""
    try:
        assert to_raw(from_raw("x", kind, shape, data)) == data
    except TensorError as error:
        assert str(error).startswith("The input 'x'")


@pytest.mark.parametrize(
    ("kind", "shape", "values"),
    [("INT8", [1], [300]), ("INT32", [1], [1.5]), ("INT32", [1], [True]), ("FP32", [2], [1.0]), ("BYTES", [1], ["?"])],
)
def test_values_that_are_not_of_their_type(kind: str, shape: list[int], values: list[Any]) -> None:
    with pytest.raises(TensorError):
        from_values("x", kind, shape, values)


def test_a_server_says_what_it_is(
    http: httpx2.Client, inference: GRPCInferenceServiceStub, progressive: Artifact
) -> None:
    manifest = progressive.manifest
    assert inference.ServerLive(pb.ServerLiveRequest()).live and http.get("/v2/health/live").json()["live"]
    assert inference.ServerReady(pb.ServerReadyRequest()).ready and http.get("/v2/health/ready").json()["ready"]
    assert inference.ServerMetadata(pb.ServerMetadataRequest()).name == http.get("/v2").json()["name"] == "artoveq"
    assert inference.ModelReady(pb.ModelReadyRequest(name=manifest.name)).ready
    assert not inference.ModelReady(pb.ModelReadyRequest(name="nothing")).ready
    assert http.get("/v2/models/nothing/ready").status_code == 503
    assert http.get(f"/v2/models/{manifest.name}/versions/{manifest.fingerprint}/ready").json()["ready"]
    told = inference.ModelMetadata(pb.ModelMetadataRequest(name=manifest.name))
    said = http.get(f"/v2/models/{manifest.name}").json()
    assert said["versions"] == list(told.versions) == [manifest.fingerprint]
    assert dict(told.properties) == said["properties"]
    points = json.loads(said["properties"]["points"])
    assert [one["payload_bytes"] for one in points] == [one.payload_bytes for one in manifest.points]
    assert [list(one.shape) for one in told.inputs] == [[-1], [-1, manifest.sub_vectors]]


def test_indices_are_answered_as_on_a_stream(
    http: httpx2.Client, inference: GRPCInferenceServiceStub, progressive: Artifact
) -> None:
    """At a point of the chain, by both ways, raw and in JSON; a fresh decoder says the same."""
    name, point = progressive.manifest.name, 3
    indices = indices_of(progressive, point)
    request = pb.ModelInferRequest(
        model_name=name,
        id="7",
        inputs=[pb.ModelInferRequest.InferInputTensor(name="indices", datatype="INT32", shape=indices.shape)],
        raw_input_contents=[indices.astype("<i4").tobytes()],
    )
    request.parameters["point"].int64_param = point
    told = inference.ModelInfer(request)
    assert (told.id, told.model_version) == ("7", progressive.manifest.fingerprint)
    output = np.frombuffer(told.raw_output_contents[0], "<f4").reshape(tuple(told.outputs[0].shape))
    assert output.shape == (2, len(progressive.manifest.task.classes)) and np.allclose(output.sum(1), 1, atol=1e-5)
    one = {"name": "indices", "datatype": "INT32", "shape": list(indices.shape), "data": indices.tolist()}
    said = http.post(INFER.format(name), json={"inputs": [one], "parameters": {"point": point}}).json()
    assert np.allclose(said["outputs"][0]["data"], output.reshape(-1), atol=1e-5)
    best = [json.loads(text)["classes"][0]["index"] for text in said["outputs"][1]["data"]]
    assert best == output.argmax(1).tolist()
    request.ClearField("raw_input_contents")
    request.inputs[0].contents.int_contents.extend(indices.reshape(-1).tolist())
    del request.outputs[:]
    request.outputs.add(name="output")
    (alone,) = inference.ModelInfer(request).raw_output_contents
    assert np.allclose(np.frombuffer(alone, "<f4"), output.reshape(-1), atol=1e-5)


def test_pictures_are_answered_as_predictions_are(http: httpx2.Client, progressive: Artifact) -> None:
    name, file = progressive.manifest.name, png("red")
    raw = to_raw(Tensor("picture", [file, file]))
    given = {"name": "picture", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": len(raw)}}
    wanted = [{"name": "answer"}, {"name": "output", "parameters": {"binary_data": True}}]
    header = json.dumps({"inputs": [given], "outputs": wanted}).encode()
    length = {"Inference-Header-Content-Length": str(len(header))}
    said = http.post(INFER.format(name), content=header + raw, headers=length)
    body = json.loads(said.content[: int(said.headers["Inference-Header-Content-Length"])])
    assert [one["name"] for one in body["outputs"]] == ["answer", "output"]
    assert len(said.content) - int(said.headers["Inference-Header-Content-Length"]) == 4 * int(
        np.prod(body["outputs"][1]["shape"])
    )
    predicted = http.post(f"/v1/predictions?model={name}", content=file).json()["classes"][0]
    for text in body["outputs"][0]["data"]:
        best = json.loads(text)["classes"][0]
        assert best["index"] == predicted["index"]
        assert best["probability"] == pytest.approx(predicted["probability"], abs=1e-5)


def test_a_reconstruction_is_a_tensor(http: httpx2.Client, reconstruction: Artifact) -> None:
    manifest = reconstruction.manifest
    indices = indices_of(reconstruction, 1, 1)
    one = {"name": "indices", "datatype": "INT32", "shape": list(indices.shape), "data": indices.reshape(-1).tolist()}
    asked = {"inputs": [one], "outputs": [{"name": "output"}], "parameters": {"point": 1}}
    (output,) = http.post(INFER.format(manifest.name), json=asked).json()["outputs"]
    declared = http.get(f"/v2/models/{manifest.name}").json()["outputs"][0]["shape"]
    assert output["shape"] == [1, *declared[1:]]


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "one input"),
    ({"inputs": 3}, "the lists"),
    ({"inputs": [{"name": "x", "datatype": "INT32", "shape": [1], "data": [1]}]}, "no input 'x'"),
    ({"inputs": [{"name": "indices", "datatype": "INT32", "shape": [1, 2], "data": [1, 1]}]}, "of the shape"),
    ({"inputs": [{"name": "picture", "datatype": "INT32", "shape": [1], "data": [1]}]}, "files"),
    ({"inputs": [{"name": "picture", "datatype": "BYTES", "shape": [1], "data": ["aGVsbG8="]}]}, "hello"),
    ({"inputs": [{"name": "picture", "datatype": "BYTES", "shape": [0], "data": []}]}, f"1 to {MOST_PICTURES}"),
    ({"inputs": [{"name": "picture", "datatype": "BYTES", "shape": [1], "data": [1]}]}, "no base64"),
    ({"inputs": [], "outputs": [{"name": "x"}]}, "no output 'x'"),
    ({"inputs": [], "parameters": {"point": 1.5}}, "whole number"),
    ({"inputs": [], "parameters": {"point": 999}}, "999"),
]


@pytest.mark.parametrize(("body", "sentence"), BAD)
def test_what_cannot_be_answered_is_refused(
    http: httpx2.Client, progressive: Artifact, body: dict[str, Any], sentence: str
) -> None:
    answer = http.post(INFER.format(progressive.manifest.name), json=body)
    assert answer.status_code == 422 and answer.json()["error"] == answer.json()["detail"]
    if sentence != "hello":  # what Pillow says of bytes that are no picture is its own
        assert sentence in answer.json()["error"]


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"inputs": [3]}', b"[" * 100_000])
def test_a_body_that_is_none(http: httpx2.Client, progressive: Artifact, content: bytes) -> None:
    assert http.post(INFER.format(progressive.manifest.name), content=content).status_code == 422


def test_indices_beyond_their_codebook_are_refused(http: httpx2.Client, progressive: Artifact) -> None:
    indices = indices_of(progressive, 1, 1)
    for wrong in (-1, 1 << 20):
        indices[0, 0] = wrong
        one = {"name": "indices", "datatype": "INT32", "shape": list(indices.shape), "data": indices.tolist()}
        answer = http.post(INFER.format(progressive.manifest.name), json={"inputs": [one], "parameters": {"point": 1}})
        assert answer.status_code == 422 and "beyond" in answer.json()["error"]


def test_a_token_is_wanted_here_too(progressive: Artifact, tmp_path: Any) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"gate: {TOKEN}\n")
    tokens.chmod(0o600)
    name = progressive.manifest.name
    with serving(progressive.folder, tokens_file=tokens) as server:
        refused = httpx2.get(f"{server.url}/v2/models/{name}")
        assert refused.status_code == 401 and "token" in refused.json()["error"]
        assert httpx2.get(f"{server.url}/v2/health/ready").status_code == 200
        known = {"Authorization": f"Bearer {TOKEN}"}
        assert httpx2.get(f"{server.url}/v2/models/{name}", headers=known).status_code == 200
        with grpc.insecure_channel(server.address) as channel:
            stub = GRPCInferenceServiceStub(channel)
            with pytest.raises(grpc.RpcError) as info:
                stub.ModelInfer(pb.ModelInferRequest(model_name=name))
            assert info.value.code() is grpc.StatusCode.UNAUTHENTICATED  # type: ignore[attr-defined]
            with pytest.raises(grpc.RpcError) as info:
                stub.ModelInfer(pb.ModelInferRequest(model_name=name), metadata=[("authorization", f"Bearer {TOKEN}")])
            assert info.value.code() is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]
