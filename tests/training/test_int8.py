"""A decoder in int8: made of an artifact, served beside its own, and nearly as good."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from artoveq.exporting import give_int8_decoder
from edge_client import Encoder
from inference_server.decoder import Decoder, OnnxDecoder, has_vnni, open_decoder
from tests.conftest import MODEL, PICTURES
from training.data import Split
from wire.artifact import Artifact, load_artifact
from wire.exceptions import SettingsError, UsageError
from wire.manifest import DECODER, ENCODER, INT8_DECODER
from wire.pictures import read_picture

pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("ignore")]  # of the quantiser


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    random, plain = np.random.default_rng(0), [read_picture(file) for file in sorted(PICTURES.glob("*.png"))]
    pictures = [
        plain[i % len(plain)][a : a + 80, b : b + 80] for i, (a, b) in enumerate(random.integers(0, 40, (40, 2)))
    ]
    split = Split(load_artifact(MODEL).manifest.task.classes, pictures, np.arange(40) % 10)
    return give_int8_decoder(load_artifact(MODEL), split, tmp_path_factory.mktemp("int8") / "model")


def test_what_was_there_stays_and_both_answer_nearly_alike(both: Artifact) -> None:
    old = load_artifact(MODEL)
    assert set(both.manifest.files) == {*old.manifest.files, INT8_DECODER}
    assert all(both.manifest.files[name] == sha for name, sha in old.manifest.files.items())
    assert both.manifest.points == old.manifest.points and load_artifact(both.folder).manifest == both.manifest
    assert both.path(INT8_DECODER).stat().st_size < 0.35 * both.path(DECODER).stat().st_size
    encoder = Encoder(both)
    pictures = np.stack([encoder.fit(read_picture(file)) for file in sorted(PICTURES.glob("*.png"))])
    indices = encoder.encode_batch(pictures, encoder.finest)
    for point in (both.manifest.levels[2], encoder.finest):
        sizes, points = np.tile(encoder.codec.sizes(point), (len(pictures), 1)), np.full(len(pictures), point)
        given = encoder.codec.at_point(indices, point), sizes, points
        fp32, int8 = (OnnxDecoder(both, 1, int8=int8).decode(*given) for int8 in (False, True))
        assert float(np.abs(fp32 - int8).max()) < 0.25 and not np.array_equal(fp32, int8)


def test_weights_of_convolutions_are_int8_by_channel_but_for_depthwise_ones(both: Artifact) -> None:
    graph = onnx.load_from_string(both.read(INT8_DECODER)).graph
    values = {one.name: one for one in graph.initializer}
    scaled = [n for n in graph.node if n.op_type == "DequantizeLinear" and n.input[0] in values]
    by_channel = [n for n in scaled if values[n.input[0]].data_type == onnx.TensorProto.INT8]
    convolutions = [n for n in graph.node if n.op_type == "Conv"]
    depthwise = [n for n in convolutions if any(one.name == "group" and one.i > 1 for one in n.attribute)]
    assert len(by_channel) == len(convolutions) - len(depthwise) > len(depthwise) > 5
    assert {n.input[1] for n in depthwise} <= set(values)
    assert all(list(values[n.input[1]].dims) == [values[n.input[0]].dims[0]] for n in by_channel[:10])


def test_the_precision_is_what_was_asked_for_or_the_faster(both: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(precision: str, artifact: Artifact = both) -> str:
        decoder = open_decoder(artifact, 1, "onnx", precision)
        assert isinstance(decoder, OnnxDecoder)
        return decoder.precision

    assert (opened("fp32"), opened("int8")) == ("fp32", "int8")
    for faster in ("fp32", "int8"):

        def timed(decoder: Decoder, _: object, faster: str = faster) -> float:
            return 1.0 if getattr(decoder, "precision", "") == faster else 2.0

        monkeypatch.setattr("inference_server.decoder.trial", timed)
        assert opened("auto") == faster
    assert opened("auto", load_artifact(MODEL)) == "fp32"
    with pytest.raises(SettingsError, match="has no decoder in int8; serve it with --precision fp32"):
        opened("int8", load_artifact(MODEL))


def test_without_a_decoder_there_is_none_in_int8(tmp_path: Path) -> None:
    artifact = load_artifact(MODEL)
    (tmp_path / "manifest.json").write_bytes((artifact.folder / "manifest.json").read_bytes())
    for name in artifact.manifest.edge_files:
        (tmp_path / name).write_bytes(artifact.path(name).read_bytes())
    assert ENCODER in artifact.manifest.edge_files
    with pytest.raises(UsageError, match=r"has no decoder\.onnx of its own"):
        give_int8_decoder(load_artifact(tmp_path, edge=True), Split(("a",), [], np.zeros(0, int)), tmp_path / "new")


def test_the_processor_says_whether_it_has_vnni(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("flags : sse avx512f avx512_vnni\n")
    (tmp_path / "other").write_text("flags : sse avx2\n")
    assert [has_vnni(tmp_path / name) for name in ("one", "other", "none")] == [True, False, False]
