"""An edge that meets a server that means harm: a sentence for each thing it tries, and nothing leaves the edge."""

from __future__ import annotations

import itertools
import json
import re
import resource
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_client import Client, Encoder, OneShot
from edge_client.cache import ModelCache
from edge_client.errors import LONGEST_RETRY_S
from edge_client.spool import Kept
from tests import tiny
from tests.conftest import ROOT
from tests.edge_client.hostile import Chunks, Hostile, serving, whole
from tests.wire.manifests import signed
from wire.artifact import Artifact, load_artifact
from wire.cache import cache_folder
from wire.exceptions import ArtifactError, ArtoveqError, ModelMismatch, ProtocolError, ServerOverloaded, UsageError
from wire.generated import remote_inference_pb2 as pb
from wire.manifest import ENCODER, MANIFEST
from wire.manifest_json import sha256

SECRET = b"the edge's own: 0123456789abcdef"
POINT = len(tiny.PROGRESSIVE)
INPUTS = [
    helper.make_tensor_value_info("picture", TensorProto.UINT8, ["batch", tiny.SIDE, tiny.SIDE, 3]),
    helper.make_tensor_value_info("sizes", TensorProto.INT32, [2]),
]


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tiny.progressive(tmp_path_factory.mktemp("models") / "model")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTOVEQ_CACHE", str(tmp_path / "cache"))


def served(honest: Artifact, encoder: bytes | None = None, **changes: Any) -> Hostile:
    """A server of the honest model, but for its encoder and these values of its manifest; all hashes are right."""
    values = json.loads(honest.path(MANIFEST).read_text())
    data = honest.read(ENCODER) if encoder is None else encoder
    values = signed({**values, "files": {**values["files"], ENCODER: sha256(data)}, **changes})
    return Hostile(json.dumps(values).encode(), {ENCODER: whole(data)})


def refused(hostile: Hostile, said: str, kind: type[ArtoveqError] = ArtifactError, **options: Any) -> None:
    """Meets it: one sentence, nothing sent, nothing kept."""
    with (
        serving(hostile) as address,
        pytest.raises(kind, match=said) as error,
        Client(address, **options) as client,
    ):
        client.predict(tiny.picture("red"), OneShot(POINT))
    sentence = str(error.value)
    assert sentence.isprintable() and len(sentence) < 500
    assert not hostile.received
    assert not [path for path in cache_folder().rglob("*") if path.is_file()]


def graph(nodes: Sequence[onnx.NodeProto], *held: TensorProto, functions: Sequence[onnx.FunctionProto] = ()) -> bytes:
    """An encoder of these nodes, whose last one gives the indices."""
    output = helper.make_tensor_value_info("indices", TensorProto.INT32, None)
    made = helper.make_graph(nodes, "hostile", INPUTS, [output], held)
    opsets = [helper.make_opsetid("", tiny.OPSET), helper.make_opsetid("own", 1)][: 1 + bool(functions)]
    data: bytes = helper.make_model(made, opset_imports=opsets, functions=functions, ir_version=9).SerializeToString()
    return data


def file_reader(path: Path) -> bytes:
    """The bytes of a file, as indices."""
    tensor = TensorProto(name="secret", data_type=TensorProto.UINT8, dims=[1, 32], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=str(path))
    return graph([helper.make_node("Cast", ["secret"], ["indices"], to=TensorProto.INT32)], tensor)


def constant(name: str, value: Any) -> TensorProto:
    return numpy_helper.from_array(np.array(value), name)


def loop() -> bytes:
    names = ["step", "more", "x", "still", "y"]
    types = [TensorProto.INT64, TensorProto.BOOL, TensorProto.INT32, TensorProto.BOOL, TensorProto.INT32]
    values = [helper.make_tensor_value_info(name, kind, []) for name, kind in zip(names, types, strict=True)]
    nodes = [helper.make_node("Identity", ["more"], ["still"]), helper.make_node("Identity", ["x"], ["y"])]
    body = helper.make_graph(nodes, "body", values[:3], values[3:])
    held = (constant("times", 2**62), constant("go", True), constant("start", np.int32(0)))
    return graph([helper.make_node("Loop", ["times", "go", "start"], ["indices"], body=body)], *held)


def function() -> bytes:
    own = helper.make_function(
        "own", "Encode", ["x"], ["y"], [helper.make_node("Identity", ["x"], ["y"])], [helper.make_opsetid("", 18)]
    )
    return graph([helper.make_node("Encode", ["sizes"], ["indices"], domain="own")], functions=[own])


def computed_memory() -> bytes:
    """A tebibyte, from a few bytes."""
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["indices"], to=TensorProto.INT32),
    ]
    return graph(nodes, constant("shape", [1 << 31]))


def multiplied_memory() -> bytes:
    """From the picture, so that it shows in no shape: a column times a row."""
    nodes = [
        helper.make_node("Cast", ["picture"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["x", "flat"], ["column"]),
        helper.make_node("Tile", ["column", "times"], ["long"]),
        helper.make_node("Transpose", ["long"], ["row"]),
        helper.make_node("MatMul", ["long", "row"], ["square"]),
        helper.make_node("ReduceSum", ["square"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["indices"], to=TensorProto.INT32),
    ]
    return graph(nodes, constant("flat", [-1, 1]), constant("times", [120, 1]))


def indices(value: int, shape: Sequence[int] = (1, tiny.SUB_VECTORS), dtype: type = np.int32) -> bytes:
    """An encoder that always gives the same."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    output = helper.make_tensor_value_info("indices", kind, None)
    node = helper.make_node("Identity", ["value"], ["indices"])
    held = numpy_helper.from_array(np.full(shape, value, dtype), "value")
    made = helper.make_graph([node], "hostile", INPUTS, [output], [held])
    data: bytes = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", tiny.OPSET)], ir_version=9
    ).SerializeToString()
    return data


def test_no_file_of_the_edge_leaves_it(honest: Artifact, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    for path in (secret, Path("..", "..", "secret")):
        refused(served(honest, file_reader(path)), "reads the values of 'secret' from another file")


GRAPHS: list[tuple[Callable[[], bytes], str]] = [
    (loop, "holds the operator 'Loop' with a graph of its own"),
    (function, "holds functions of its own"),
    (lambda: graph([helper.make_node("Run", ["sizes"], ["indices"], domain="evil")]), "needs operators of 'evil'"),
    (lambda: graph([helper.make_node("Nothing", ["sizes"], ["indices"])]), "cannot be opened"),
    (lambda: graph([helper.make_node("Identity", ["sizes"], ["other"])]), "cannot be opened|cannot be run"),
    (computed_memory, "cannot be run"),
    (multiplied_memory, "cannot be run"),
    (lambda: indices(16), "gives indices beyond its codebook"),
    (lambda: indices(-1), "gives indices beyond its codebook"),
    (lambda: indices(0, (1, 31)), r"gives int32 \(1, 31\) in place of int32 \(1, 32\)"),
    (lambda: indices(0, (2, 32)), r"gives int32 \(2, 32\) in place of"),
    (lambda: indices(0, dtype=np.float32), r"gives float32 \(1, 32\) in place of"),
    (lambda: b"\x08\x09", "holds no graph"),
]


@pytest.mark.parametrize("encoder,said", GRAPHS)
def test_graphs_that_are_not_run(honest: Artifact, encoder: Callable[[], bytes], said: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    hostile = served(honest, encoder())
    with serving(hostile) as address, pytest.raises(ArtifactError, match=said) as error, Client(address):
        pass
    assert str(error.value).isprintable() and not hostile.received
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB


def endless(size: int, data: bytes) -> Chunks:
    return lambda: (pb.FetchFileResponse(data=data, file_bytes=size) for _ in itertools.count())


FILES: list[tuple[Chunks, str]] = [
    (endless(100_000, bytes(65536)), r"sends more of encoder\.onnx than the 100,000 bytes that it announced"),
    (endless(1 << 40, bytes(65536)), r"has 1,099,511,627,776 bytes, and 268,435,456 are fetched at most"),
    (endless(0, bytes(65536)), r"sends more of encoder\.onnx than the 0 bytes"),
    (endless(1 << 20, b""), r"sends more of encoder\.onnx"),
    (lambda: [], "is damaged"),
    (lambda: [pb.FetchFileResponse(data=b"x", file_bytes=2)], "is damaged"),
]


@pytest.mark.parametrize("chunks,said", FILES)
def test_files_that_never_end_are_left(honest: Artifact, chunks: Chunks, said: str) -> None:
    hostile = served(honest)
    hostile.files[ENCODER] = chunks
    refused(hostile, said)
    assert hostile.sent < 1 << 24  # what was on the way


def test_a_file_that_does_not_come_is_not_waited_for(honest: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    def trickle() -> Iterator[pb.FetchFileResponse]:
        for _ in range(100):
            yield pb.FetchFileResponse(data=b"x", file_bytes=1000)
            time.sleep(0.05)

    monkeypatch.setattr("edge_client.provision.FETCH_S", 0.3)
    hostile = served(honest)
    hostile.files[ENCODER] = trickle
    refused(hostile, r"did not send encoder\.onnx within 0\.3 s", ArtoveqError)


def test_a_file_that_does_not_fit_into_the_cache_is_not_fetched(
    honest: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTOVEQ_CACHE_BYTES", "100")
    refused(served(honest), "and 100 are fetched at most")


def nested(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


MANIFESTS: list[tuple[dict[str, Any], str]] = [
    ({"recipe": {"x": nested(300)}}, "holds more values, or deeper ones"),
    ({"recipe": {"x": [0] * 300_000}}, "holds more values, or deeper ones"),
    ({"recipe": {"x": "x" * (3 << 20)}}, "more than the 2,097,152 of any manifest"),
    ({"preprocessing": {"size": 1 << 40}}, r"preprocessing\.size"),
    ({"latent": {"shape": [1 << 40, 1 << 40, 1 << 40], "d": 1}}, "is not made of sub-vectors"),
    ({"files": {ENCODER: "0" * 64, "/etc/passwd": "0" * 64}}, "files"),
    ({"files": {}}, r"encoder\.onnx"),
    ({"name": "\x1b[2J"}, "name"),
    ({"task": {"name": "\x1b[2J", "metric": "top1"}}, r"task\.name"),
    ({"task": {"name": "own", "metric": "top1"}}, "The task of .* is 'own'"),
]


@pytest.mark.parametrize("changes,said", MANIFESTS)
def test_manifests_that_are_not_believed(honest: Artifact, changes: dict[str, Any], said: str) -> None:
    hostile = served(honest, **changes)
    with serving(hostile) as address, pytest.raises(ArtifactError, match=said) as error, Client(address):
        pass
    assert str(error.value).isprintable() and not hostile.received


@pytest.mark.parametrize(
    "manifest,said",
    [
        (b"[" * 1_000_000, "is not a manifest"),
        (b"\xff\xfe\x00", "is not a manifest"),
        (b"x" * (5 << 20), "sent a message that is too large to be read"),
    ],
)
def test_what_is_no_manifest(manifest: bytes, said: str) -> None:
    refused(Hostile(manifest, {}), said, ArtoveqError)


def test_no_pause_is_longer_than_a_minute(honest: Artifact) -> None:
    hostile = served(honest)
    hostile.respond = lambda payload: pb.StreamResponse(
        failure=pb.Failure(picture_id=payload.picture_id, code=8, message="busy", retry_after_ms=(1 << 32) - 1)
    )
    with serving(hostile) as address, Client(address) as client:
        with pytest.raises(ServerOverloaded, match="is busy: busy") as error:
            client.predict(tiny.picture("red"), OneShot(POINT))
        assert error.value.retry_after == LONGEST_RETRY_S
        with pytest.raises(ServerOverloaded, match="is busy: busy") as error:
            client.deliver(Kept(honest.manifest.fingerprint, POINT, b"", True, {}, b"key"))
        assert error.value.retry_after == LONGEST_RETRY_S


def test_answers_end(honest: Artifact) -> None:
    def flood(payload: pb.Payload) -> pb.StreamResponse:
        classes = [pb.ClassProbability(name="x" * 100) for _ in range(500)]
        answer = pb.Answer(picture_id=payload.picture_id, point=1, classification=pb.Classification(classes=classes))
        return pb.StreamResponse(bundle=pb.ResponseBundle(responses=[pb.StreamResponse(answer=answer)] * 30))

    hostile = served(honest)
    hostile.respond = flood
    said = "more than 1,048,576 bytes of answers to one picture"
    with serving(hostile) as address, Client(address) as client, pytest.raises(ProtocolError, match=said):
        client.predict(tiny.picture("red"), OneShot(POINT))


def test_a_pinned_model_is_the_only_one_that_is_taken(honest: Artifact, tmp_path: Path) -> None:
    other = served(honest, name="other")
    refused(other, "pin the new one if you trust it", ModelMismatch, fingerprint=honest.manifest.fingerprint)
    assert other.sent == 0
    with (
        pytest.raises(ModelMismatch, match="pin the new one"),
        Client("nowhere:1", honest.folder, fingerprint="0" * 64),
    ):
        pass
    with (
        pytest.raises(ModelMismatch, match="pin the new one"),
        Client("nowhere:1", Encoder(honest), fingerprint="1" * 64),
    ):
        pass
    with pytest.raises(UsageError, match="64 hexadecimal digits"):
        Client("nowhere:1", fingerprint="1234")


def test_a_pinned_model_in_the_cache_is_not_asked_for(honest: Artifact) -> None:
    fingerprint = honest.manifest.fingerprint
    with serving(served(honest)) as address, Client(address, fingerprint=fingerprint):
        pass
    other = served(honest, name="other")
    with serving(other) as address, Client(address, fingerprint=fingerprint) as client:
        assert client.encoder.manifest.fingerprint == fingerprint
    assert other.sent == 0


def test_another_model_is_taken_with_a_line_that_names_both(honest: Artifact, caplog: pytest.LogCaptureFixture) -> None:
    def said() -> list[str]:
        return [one.message for one in caplog.records if one.name == "edge_client.provision"]

    hostile = served(honest)
    with serving(hostile) as address:
        with Client(address):
            assert not said()
        for encoder in (loop(), computed_memory()):
            broken = served(honest, encoder)
            hostile.manifest, hostile.files = broken.manifest, broken.files
            with pytest.raises(ArtifactError), Client(address):
                pass
        assert not said()  # they were not taken, and are not at the next start
        with Client(address, offline=True) as client:
            assert client.encoder.manifest.fingerprint == honest.manifest.fingerprint
        changed = served(honest, name="changed")
        hostile.manifest, hostile.files = changed.manifest, changed.files
        with Client(address) as client:
            new = client.encoder.manifest.fingerprint
    assert said() == [f"{address} has another model now: {new}, in place of {honest.manifest.fingerprint}."]
    cache = ModelCache(cache_folder(), 1 << 30)
    assert cache.load(new) and cache.load(honest.manifest.fingerprint)


def test_an_honest_model_passes_all_of_it(honest: Artifact) -> None:
    """The same server, with nothing changed: its encoder's indices are what it hears."""
    hostile = served(honest)
    hostile.respond = lambda payload: pb.StreamResponse(
        answer=pb.Answer(
            picture_id=payload.picture_id,
            point=payload.point,
            final=True,
            classification=pb.Classification(classes=[pb.ClassProbability(name="red", probability=1)]),
        )
    )
    with serving(hostile) as address, Client(address) as client:
        assert client.predict(tiny.picture("red"), OneShot(POINT)).best.name == "red"
    (payload,) = [m for m in map(pb.StreamRequest.FromString, hostile.received) if m.HasField("payload")]
    encoder = Encoder(load_artifact(honest.folder))
    assert payload.payload.data == encoder.codec.write_block(encoder.encode(tiny.picture("red"), POINT), POINT)[0]


@pytest.mark.slow
def test_all_of_it_on_the_oldest_onnx_runtime() -> None:
    """That one follows a graph to any file, as those for Python 3.10 do."""
    ran = subprocess.run([ROOT / "scripts" / "test-onnxruntime"], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"^\d+ passed", ran.stdout, re.M)
