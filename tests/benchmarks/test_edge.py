"""What an edge costs: operations, and the parts that are measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from benchmarks.edge import figures
from benchmarks.edge.beside import measured
from benchmarks.edge.graphs import half, million_macs, whole_network
from benchmarks.edge.parts import SERVER, opened, samples
from edge_client import Encoder
from inference_server.decoder import OnnxDecoder
from tests.conftest import MODEL, ROOT
from wire.artifact import Artifact, load_artifact
from wire.exceptions import UsageError
from wire.manifest import DECODER, ENCODER


def test_multiply_adds_are_those_of_the_layers() -> None:
    """A convolution of 3 → 8 channels, 3×3, at half of 8×8; 128 values to 5 with Gemm; 5 by 4 with Einsum, 4 by 2."""
    weights = {"conv": (8, 3, 3, 3), "gemm": (5, 128), "einsum": (5, 4), "matmul": (4, 2)}
    nodes = [
        helper.make_node("Conv", ["x", "conv"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Flatten", ["a"], ["b"]),
        helper.make_node("Gemm", ["b", "gemm"], ["c"], transB=1),
        helper.make_node("Einsum", ["c", "einsum"], ["d"], equation="bi, ij -> bj"),
        helper.make_node("MatMul", ["d", "matmul"], ["e"]),
        helper.make_node("Relu", ["e"], ["y"]),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, n)) for name, n in (("y", 2), ("e", 2))]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 8, 8))
    tensors = [onnx.numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in weights.items()]
    graph = onnx.shape_inference.infer_shapes(
        helper.make_model(helper.make_graph(nodes, "layers", [given], values[:1], tensors))
    )
    assert million_macs(graph) == pytest.approx((16 * 8 * 27 + 128 * 5 + 5 * 4 + 4 * 2) / 1e6)


def test_the_counted_operations_are_those_of_the_training() -> None:
    mixed = load_artifact(ROOT / "models" / "imagewoof64-compact-mixed")
    counted = {file: million_macs(half(mixed, file)) for file in (ENCODER, DECODER)}
    assert counted[DECODER] == pytest.approx(mixed.manifest.backbone["server_million_macs"], abs=0.5)
    choosing = counted[ENCODER] - mixed.manifest.backbone["edge_million_macs"]
    assert 0 < choosing < 1
    assert million_macs(whole_network(mixed)) < sum(counted.values())


@pytest.mark.parametrize("name", [MODEL.name, "imagewoof64-compact-mixed", "easyvqa64-transformer-aligned"])
def test_the_whole_network_answers_as_both_halves_do(name: str, tmp_path: Path) -> None:
    """Without a codebook it is surer, and of the same mind."""
    artifact = load_artifact(ROOT / "models" / name)
    file = tmp_path / "whole.onnx"
    file.write_bytes(whole_network(artifact).SerializeToString())
    whole, encoder, decoder = opened("whole", artifact, file), Encoder(artifact, threads=1), OnnxDecoder(artifact, 1)
    point, asked = encoder.finest, artifact.manifest.task.questions
    question = None if asked is None else np.ones((1, asked.longest), np.int32)
    for picture in samples(artifact.manifest.preprocessing.size):
        indices = encoder.encode_batch(picture[None], point)
        halves = decoder.decode(indices, encoder.codec.sizes(point)[None], np.array([point]), question)
        (logits,) = np.array(whole(picture))
        alone = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        assert alone.argmax() == halves.argmax() and np.abs(alone - halves).max() < 0.2


def test_what_is_compared_is_as_often_right_as_the_file() -> None:
    """The tables' point: the cheapest of these. The edge alone comes first, and sends nothing."""
    for one in measured():
        points = one.manifest.points
        assert one.as_right.metric >= one.file.metric
        assert all(p.metric < one.file.metric for p in points if p.mean_bytes < one.as_right.mean_bytes)
        assert one.costs.payload_bytes == one.as_right.mean_bytes < one.costs.file_bytes == one.file.payload_bytes
        (_, sent, metric, part), *others = one.rows()
        assert (sent, metric, part) == (0, one.manifest.unquantised_metric, "whole")
        assert {"edge", "webp"} <= {part for *_, part in others}


def test_a_model_without_files_is_a_sentence() -> None:
    (one, *_) = measured()
    with pytest.raises(UsageError, match="has no figures of WebP files of quality 90; give it some"):
        _ = replace(one, manifest=one.manifest.model_copy(update={"codec": ()})).file


def test_the_plot_is_that_of_the_committed_figures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    committed = (figures.FIGURES / "worth.svg").read_text()
    monkeypatch.setattr(figures, "FIGURES", tmp_path)
    assert figures.draw(measured()).read_text().count("<path") == committed.count("<path")


def test_every_part_takes_a_picture(artifact: Artifact, tmp_path: Path) -> None:
    (picture, *_) = samples(artifact.manifest.preprocessing.size)
    edge, webp, jpeg = (opened(part, artifact, tmp_path)(picture) for part in ("edge", "webp", "jpeg"))
    assert isinstance(edge, tuple) and isinstance(webp, bytes) and isinstance(jpeg, bytes)
    assert len(edge[0]) < len(webp) < len(jpeg)
    indices = opened("encode", artifact, tmp_path)(picture)
    assert isinstance(indices, np.ndarray) and indices.shape == (1, artifact.manifest.sub_vectors)
    answer = opened(SERVER, artifact, tmp_path)(picture)
    assert isinstance(answer, np.ndarray) and answer.shape == (1, len(artifact.manifest.task.classes))
