"""The exported graphs: their multiply-adds, and both halves as the one network they were, without a codebook."""

from __future__ import annotations

import math
from collections.abc import Iterator

import onnx
from onnx import compose, shape_inference
from onnx.utils import Extractor

from wire.artifact import Artifact
from wire.base import base_tensors, bound
from wire.exceptions import ArtifactError
from wire.manifest import DECODER, ENCODER

Shapes = dict[str, tuple[int, ...]]
LAYERS = ("Conv", "Gemm", "MatMul", "Einsum")
"""What multiplies and adds; additions and activations alone are not counted, as usual."""


def million_macs(graph: onnx.ModelProto) -> float:
    """Multiply-adds of one picture, in millions."""
    shapes = _shapes(graph)
    return sum(_macs(node, shapes) for node in graph.graph.node if node.op_type in LAYERS) / 1e6


def half(artifact: Artifact, file: str) -> onnx.ModelProto:
    """`ENCODER` or `DECODER`, for one picture at a time, with the shape of all that is between input and output.

    With the base weights that a decoder takes as inputs.

    Raises:
        ArtifactError: if these are not installed.
    """
    tensors = base_tensors(artifact.manifest) if file == DECODER else {}
    graph = onnx.load_from_string(bound(artifact.read(file), tensors))
    for value in (*graph.graph.input, *graph.graph.output):
        for side in value.type.tensor_type.shape.dim:
            if side.HasField("dim_param"):  # the batch
                side.dim_value = 1
    del graph.graph.value_info[:]  # these have the batch, too
    return shape_inference.infer_shapes(graph, data_prop=True, strict_mode=True)


def whole_network(artifact: Artifact) -> onnx.ModelProto:
    """The encoder up to the latent, and from there on the decoder: what an edge runs that needs no server.

    Its inputs are "edge.picture" (1, S, S, 3) and the decoder's own behind "server."; indices and sizes among those are
    looked at for their shapes alone.

    Raises:
        ArtifactError: if a graph has no tensor of the latent's shape.
    """
    encoder, decoder = half(artifact, ENCODER), half(artifact, DECODER)
    given = [value.name for value in decoder.graph.input]
    latent = (1, *artifact.manifest.latent.shape)
    ends = _last(encoder, latent, _ancestors(encoder, "indices"), ENCODER)
    first_layer = next(i for i, node in enumerate(decoder.graph.node) if node.op_type in LAYERS)
    looked_up = {name for node in decoder.graph.node[:first_layer] for name in node.output}
    begins = _last(decoder, latent, looked_up, DECODER)
    edge = Extractor(encoder).extract_model(["picture"], [ends])
    server = Extractor(decoder).extract_model([begins, *given], [decoder.graph.output[0].name])
    return compose.merge_models(edge, server, io_map=[(ends, begins)], prefix1="edge.", prefix2="server.")


def _last(graph: onnx.ModelProto, shape: tuple[int, ...], among: set[str], file: str) -> str:
    shapes = _shapes(graph)
    found = [name for node in graph.graph.node for name in node.output if name in among and shapes.get(name) == shape]
    if not found:
        raise ArtifactError(f"{file} has no tensor of the latent's shape {shape}; export the model again.")
    return found[-1]


def _ancestors(graph: onnx.ModelProto, output: str) -> set[str]:
    """Of whom this output is made."""
    found = {output}
    for node in reversed(graph.graph.node):
        if found.intersection(node.output):
            found.update(node.input)
    return found


def _shapes(graph: onnx.ModelProto) -> Shapes:
    body = graph.graph
    values = (*body.input, *body.value_info, *body.output)
    found = {value.name: tuple(side.dim_value for side in value.type.tensor_type.shape.dim) for value in values}
    return found | {weights.name: tuple(weights.dims) for weights in body.initializer}


def _macs(node: onnx.NodeProto, shapes: Shapes) -> int:
    """Of a layer: values that come out times products that each is the sum of."""
    given, weights, out = shapes[node.input[0]], shapes[node.input[1]], shapes[node.output[0]]
    if node.op_type == "Conv":
        return math.prod(out) * math.prod(weights[1:])
    if node.op_type == "Einsum":
        return math.prod({letter: side for letter, side in _letters(node, (given, weights))}.values())
    transposed = node.op_type == "Gemm" and any(a.name == "transA" and a.i for a in node.attribute)
    return math.prod(out) * given[0 if transposed else -1]


def _letters(node: onnx.NodeProto, shapes: tuple[tuple[int, ...], ...]) -> Iterator[tuple[str, int]]:
    equation = next(a.s.decode() for a in node.attribute if a.name == "equation")
    for term, shape in zip(equation.replace(" ", "").partition("->")[0].split(","), shapes, strict=True):
        yield from zip(term, shape, strict=True)
