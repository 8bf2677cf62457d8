"""Exported graphs at their seam, where the quantiser begins or ends: sub-vectors (N, G, d)."""

from __future__ import annotations

import onnx
from onnx import TensorProto, utils

from wire.exceptions import ArtifactError


def before_quantiser(encoder: bytes) -> tuple[onnx.ModelProto, str]:
    """encoder.onnx from its picture to the sub-vectors, and what they are called in it.

    Raises:
        ArtifactError: if it was not exported by artoveq.
    """
    model = onnx.load_from_string(encoder)
    makes = {output: node for node in model.graph.node for output in node.output}
    for node in reversed(model.graph.node):
        if node.op_type == "Reshape" and node.input[0] in makes and makes[node.input[0]].op_type == "Transpose":
            return _part(model, ["picture"], [node.output[0]]), node.output[0]
    raise ArtifactError("The encoder has no sub-vectors that can be told from the rest; export the model again.")


def behind_quantiser(decoder: bytes) -> tuple[onnx.ModelProto, str]:
    """decoder.onnx from the sub-vectors to its output, and what they are called in it.

    Raises:
        ArtifactError: as `before_quantiser`.
    """
    model = onnx.load_from_string(decoder)
    tables = {one.name for one in model.graph.initializer if one.data_type == TensorProto.FLOAT and len(one.dims) == 2}
    for node in model.graph.node:
        if node.op_type == "Gather" and node.input[0] in tables:
            return _part(model, [node.output[0]], [model.graph.output[0].name]), node.output[0]
    raise ArtifactError("The decoder has no table of codewords that can be told from the rest; export the model again.")


def _part(model: onnx.ModelProto, inputs: list[str], outputs: list[str]) -> onnx.ModelProto:
    return utils.Extractor(onnx.shape_inference.infer_shapes(model)).extract_model(inputs, outputs)
