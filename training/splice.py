"""Exported graphs and programs at their seam, where the quantiser begins or ends: sub-vectors (N, G, d)."""

from __future__ import annotations

from typing import cast

import onnx
import torch
from onnx import TensorProto, compose, helper, utils
from torch import Tensor, fx, nn

from training.codebooks.ops import Dequantiser
from wire.exceptions import ArtifactError

INDICES = "indices"
"""The encoder's output."""


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


def branched(encoder: bytes, head: onnx.ModelProto) -> bytes:
    """encoder.onnx with a head's output beside its own; the head's one input are the sub-vectors.

    All that was there stays as it is, but for an output of the head's name.

    Raises:
        ArtifactError: as `before_quantiser`.
    """
    model = onnx.load_from_string(encoder)
    (output,) = head.graph.output
    if any(one.name == output.name for one in model.graph.output):
        model = _part(model, [one.name for one in model.graph.input], [INDICES])
    _, vectors = before_quantiser(model.SerializeToString())
    apart = compose.add_prefix(head, "local.", rename_outputs=False).graph
    for node in apart.node:
        node.input[:] = [vectors if value == apart.input[0].name else value for value in node.input]
    model.graph.node.extend(apart.node)
    model.graph.initializer.extend(apart.initializer)
    model.graph.output.append(output)
    model.graph.output[-1].type.tensor_type.shape.dim[0].CopyFrom(model.graph.output[0].type.tensor_type.shape.dim[0])
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def branch_of(encoder: bytes, output: str) -> onnx.ModelProto:
    """From the sub-vectors of encoder.onnx to an output beside its own: what `branched` takes."""
    _, vectors = before_quantiser(encoder)
    return _part(onnx.load_from_string(encoder), [vectors], [output])


def at_quantiser(decoder: bytes) -> tuple[onnx.ModelProto, onnx.ModelProto, str]:
    """decoder.onnx as two: from indices and sizes to sub-vectors, and from those, by this name, to its output.

    The second may still ask the indices how many pictures there are.

    Raises:
        ArtifactError: as `before_quantiser`.
    """
    model = onnx.load_from_string(decoder)
    floats = {one.name: len(one.dims) for one in model.graph.initializer if one.data_type == TensorProto.FLOAT}
    tables = {name for name, rank in floats.items() if rank == 2}
    tables |= {node.output[0] for node in model.graph.node if node.op_type == "Reshape" and node.input[0] in floats}
    for node in model.graph.node:
        if node.op_type == "Gather" and node.input[0] in tables:
            vectors = node.output[0]
            behind = _part(model, [vectors, "indices", "sizes"], [model.graph.output[0].name])
            return _part(model, ["indices", "sizes"], [vectors]), behind, vectors
    raise ArtifactError("The decoder has no table of codewords that can be told from the rest; export the model again.")


def joined(first: onnx.ModelProto, second: onnx.ModelProto, names: tuple[str, str]) -> bytes:
    """Two graphs as one: what is called names[0] in the first is the second's input names[1].

    Other inputs of the same name are the same.
    """
    apart = compose.add_prefix(second, "joined.", rename_inputs=False, rename_outputs=False).graph
    for node in apart.node:
        node.input[:] = [names[0] if value == names[1] else value for value in node.input]
    known = {one.name for one in first.graph.input} | {names[1]}
    graph = helper.make_graph(
        [*first.graph.node, *apart.node],
        first.graph.name,
        [*first.graph.input, *(one for one in apart.input if one.name not in known)],
        apart.output,
        [*first.graph.initializer, *apart.initializer],
    )
    model = helper.make_model(graph, opset_imports=first.opset_import, ir_version=first.ir_version)
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def program_behind_quantiser(program: torch.export.ExportedProgram) -> nn.Module:
    """Of a decoder's program what comes after its look-up: sub-vectors to a tuple of the output alone."""
    module = program.module(check_guards=False)
    graph = module.graph
    embedding = next(node for node in graph.nodes if node.target is torch.ops.aten.embedding.default)
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    with graph.inserting_before(inputs[0]):
        vectors = graph.placeholder("vectors")
    embedding.replace_all_uses_with(vectors)
    for node in reversed(list(graph.nodes)):
        asserts = node.op == "call_function" and "_assert" in str(node.target)
        if node is not vectors and node.op != "output" and not node.users and (asserts or not node.is_impure()):
            graph.erase_node(node)
    for node in inputs:
        graph.erase_node(node)
    graph.set_codegen(fx.graph.CodeGen())  # one plain argument, in place of the exporter's own convention
    return fx.GraphModule(module, graph)


class SplicedDecoder(nn.Module):
    """A look-up, and of an older program what came after its own."""

    def __init__(self, dequantiser: Dequantiser, behind: nn.Module) -> None:
        super().__init__()
        self.dequantiser, self.behind = dequantiser, behind

    def forward(self, indices: Tensor, sizes: Tensor) -> Tensor:
        (output,) = self.behind(self.dequantiser(indices, sizes))
        return cast(Tensor, output)


def _part(model: onnx.ModelProto, inputs: list[str], outputs: list[str]) -> onnx.ModelProto:
    part: onnx.ModelProto = utils.Extractor(onnx.shape_inference.infer_shapes(model)).extract_model(inputs, outputs)
    del part.graph.value_info[:]  # which names inputs, too, and those would be renamed with it
    return part
