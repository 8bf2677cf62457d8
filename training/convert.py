"""Artifacts of format version 1 as version 2: the same weights and figures, the quantiser's ends spliced anew.

Of encoder.onnx everything stays but its tail, of the decoders everything but their head:

picture ─ trunk ─ distances ─▶ index ─ of each segment's size ─▶ indices
indices, sizes ─ look-up in the table ─▶ sub-vectors ─ trunk ─▶ logits
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from training.chain import unmeasured_point
from training.codebooks.ops import Dequantiser
from training.program import save_program
from training.splice import SplicedDecoder, program_behind_quantiser
from wire.artifact import load_artifact, read_file
from wire.exceptions import ArtifactError
from wire.manifest import DECODER, ENCODER, MANIFEST, TABLES, TORCH_DECODER

Array = NDArray[Any]


@dataclass(frozen=True)
class _Layout:
    """What the splices have to know of an artifact."""

    refinable: bool
    largest: int
    segments: tuple[int, ...]

    @property
    def groups(self) -> int:
        return sum(self.segments)

    @property
    def segment(self) -> Array:
        """Which segment each channel group belongs to, (G,)."""
        return np.repeat(np.arange(len(self.segments)), self.segments)

    def table(self, codewords: Array) -> Array:
        """Codewords (G, T, d) with a row before them for K = 1: the middle of Q_1."""
        return np.concatenate([codewords[:, :2].mean(1, keepdims=True), codewords], 1)

    @property
    def starts(self) -> Array:
        """Where each size's rows begin, (largest + 1,)."""
        sizes = np.arange(self.largest + 1)
        return np.maximum(sizes - 1, 0) if self.refinable else np.minimum(np.maximum(sizes - 1, 0), 1)


def convert_files(folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest's values and the files of an artifact, for `wire.artifact.write_artifact`: one of version 1 is
    converted, one of today's is taken as it is.

    A refinable model gets a segment for each channel group, another one segment for all. Points are the
    levels, with their metric and temperature; `training.chain` adds a chain.

    Raises:
        ArtifactError: if it is no artifact, or one whose graphs were not exported by artoveq.
    """
    try:
        old = json.loads((folder / MANIFEST).read_bytes())
        if old["format_version"] != 1:
            artifact = load_artifact(folder)
            made = ("format_version", "files", "fingerprint")
            values = {name: value for name, value in old.items() if name not in made}
            return values, {name: read_file(folder, name) for name in artifact.manifest.files}
        c, d = old["latent_shape"][0], old["d"]
        refinable = old["prefix_consistent"]
        segments = (1,) * (c // d) if refinable else (c // d,)
        layout = _Layout(refinable, 2 ** old["max_level"], segments)
        files = {
            ENCODER: _encoder(onnx.load(str(folder / ENCODER), load_external_data=False), layout),
            DECODER: _decoder(onnx.load(str(folder / DECODER), load_external_data=False), layout),
            TORCH_DECODER: _torch_decoder(folder / TORCH_DECODER, layout, old["sub_vectors"]),
        }
        if TABLES in old["files"]:
            files[TABLES] = (folder / TABLES).read_bytes()
        return _values(old, layout), files
    except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
        raise ArtifactError(
            f"{folder} cannot be converted ({type(error).__name__}: {error}); export the model again."
        ) from error


def _values(old: dict[str, Any], layout: _Layout) -> dict[str, Any]:
    positions = old["latent_shape"][1] * old["latent_shape"][2]
    sub_vectors = [groups * positions for groups in layout.segments]
    points = [
        {
            **unmeasured_point(sub_vectors, [2 ** row["level"]] * len(sub_vectors)),
            "coded_bytes": row["payload_bytes"] if TABLES in old["files"] else None,
            "metric": row["top1"],
            "temperature": row["temperature"],
        }
        for row in old["levels"]
    ]
    level = {"segments": list(range(len(sub_vectors))), "payload_bytes": (sum(sub_vectors) + 7) // 8}
    codec = [{"metric" if k == "top1" else k: v for k, v in row.items()} for row in old.get("codec", ())]
    return {
        **{key: old[key] for key in ("name", "profile", "family", "dataset", "preprocessing", "recipe")},
        "latent": {"shape": old["latent_shape"], "d": old["d"]},
        "segments": list(layout.segments),
        "largest_size": layout.largest,
        "any_size": False,
        "points": points,
        "planes": [level] * old["max_level"] if layout.refinable else [],
        "task": {"name": "classification", "metric": "top1", "classes": old["classes"]},
        "backbone": {"name": "mobilenet_v2", "cut": old["recipe"]["network"]["cut"]},
        "unquantised_metric": old["unquantised_top1"],
        "codec": codec,
    }


def _encoder(model: onnx.ModelProto, layout: _Layout) -> bytes:
    graph = _Graph(model)
    size = graph.after("level", "Reshape", "Gather", "Gather")  # of the one level
    graph.input("level", "sizes", [len(layout.segments)])
    of_group = graph.node("Gather", ["sizes", graph.constant("segment_of_group", layout.segment)])
    of_group = graph.node("Cast", [of_group], to=TensorProto.INT64)
    shape = graph.producer(graph.producer("indices").input[0]).input[1]
    if layout.refinable:
        # The whole index is left by truncating division; its first bits are those of a smaller size.
        whole = graph.consumer(size, "Div").input[0]
        scaled = graph.node("Mul", [whole, of_group])
        index = graph.node("Div", [scaled, graph.constant("largest_size", np.array(layout.largest))])
    else:
        # A mask for all groups becomes one for each.
        absent = graph.consumer(size, "GreaterOrEqual")
        column = graph.constant("column", np.array([1]))
        absent.input[1] = graph.node("Unsqueeze", [of_group, column])
        index = graph.producer(graph.producer("indices").input[0]).input[0]
    flat = graph.node("Reshape", [index, shape], allowzero=1)
    graph.replace_output("indices", graph.node("Cast", [flat], to=TensorProto.INT32), TensorProto.INT32)
    return graph.finished()


def _decoder(model: onnx.ModelProto, layout: _Layout) -> bytes:
    graph = _Graph(model)
    embedding = next(node for node in graph.nodes if node.op_type == "Gather" and node.input[0] in graph.rows(2))
    flat = graph.initialiser(embedding.input[0])
    codewords = flat.reshape(layout.groups, -1, flat.shape[1])
    table = layout.table(codewords)
    graph.input("indices", "indices", None)
    graph.input("levels", "sizes", ["batch", len(layout.segments)])
    index = graph.node("Cast", ["indices"], to=TensorProto.INT64)
    index = graph.node("Reshape", [index, graph.constant("by_group", np.array([0, -1, layout.groups]))])
    sizes = graph.node("Gather", ["sizes", graph.constant("segment_of_group", layout.segment)], axis=1)
    start = graph.node("Gather", [graph.constant("starts", layout.starts), sizes])
    start = graph.node("Unsqueeze", [start, graph.constant("positions_axis", np.array([1]))])
    offset = graph.constant("group_offsets", np.arange(layout.groups) * table.shape[1])
    row = graph.node("Add", [graph.node("Add", [index, start]), offset])
    rows = graph.constant("codewords", table.reshape(-1, table.shape[2]))
    vectors = graph.node("Gather", [rows, row])
    graph.redirect(embedding.output[0], vectors)
    return graph.finished()


class _Graph:
    """An ONNX graph under the knife; `finished` leaves what its outputs need."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model, self.graph = model, model.graph
        self.nodes = list(model.graph.node)

    def producer(self, value: str) -> onnx.NodeProto:
        return next(node for node in self.nodes if value in node.output)

    def consumer(self, value: str, kind: str) -> onnx.NodeProto:
        return next(node for node in self.nodes if node.op_type == kind and value in node.input)

    def after(self, value: str, *kinds: str) -> str:
        """The value at the end of this chain of nodes."""
        for kind in kinds:
            value = self.consumer(value, kind).output[0]
        return value

    def rows(self, rank: int) -> set[str]:
        """Names of float initialisers of this rank."""
        found = (i for i in self.graph.initializer if i.data_type == TensorProto.FLOAT)
        return {i.name for i in found if len(i.dims) == rank}

    def initialiser(self, name: str) -> Array:
        return numpy_helper.to_array(next(i for i in self.graph.initializer if i.name == name))

    def constant(self, name: str, value: Array) -> str:
        self.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), f"point.{name}"))
        return f"point.{name}"

    def node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        output = f"point.{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def input(self, old: str, name: str, shape: Iterable[int | str] | None) -> None:
        """Renames an input, as int32 (of this shape)."""
        value = next(i for i in self.graph.input if i.name == old)
        value.name, value.type.tensor_type.elem_type = name, TensorProto.INT32
        if shape is not None:
            value.CopyFrom(helper.make_tensor_value_info(name, TensorProto.INT32, list(shape)))
            first = self.graph.input[0].type.tensor_type.shape.dim[0]
            if shape and not isinstance(next(iter(shape)), int):
                value.type.tensor_type.shape.dim[0].CopyFrom(first)

    def redirect(self, old: str, new: str) -> None:
        for node in self.nodes:
            node.input[:] = [new if value == old else value for value in node.input]

    def replace_output(self, name: str, new: str, kind: int) -> None:
        self.nodes = [node for node in self.nodes if name not in node.output]
        self.producer(new).output[0] = name
        next(o for o in self.graph.output if o.name == name).type.tensor_type.elem_type = kind

    def finished(self) -> bytes:
        """In the order of computation, without what no output needs."""
        given = {i.name for i in self.graph.input} | {i.name for i in self.graph.initializer}
        makes = {output: node for node in self.nodes for output in node.output}
        ordered: list[onnx.NodeProto] = []
        used: set[str] = set()

        def visit(value: str) -> None:
            if not value or value in used:
                return
            used.add(value)
            if value in given:
                return
            node = makes[value]
            for needed in node.input:
                visit(needed)
            if node not in ordered:
                ordered.append(node)

        for output in self.graph.output:
            visit(output.name)
        kept = [i for i in self.graph.initializer if i.name in used]
        del self.graph.node[:], self.graph.initializer[:], self.graph.value_info[:]
        self.graph.node.extend(ordered)
        self.graph.initializer.extend(kept)
        onnx.checker.check_model(self.model, full_check=True)
        return self.model.SerializeToString()


def _torch_decoder(path: Path, layout: _Layout, sub_vectors: int) -> bytes:
    old = torch.export.load(io.BytesIO(path.read_bytes()))
    codewords = old.state_dict["table"] if "table" in old.state_dict else old.constants["table"]
    table, starts = layout.table(codewords.numpy()), layout.starts
    dequantiser = Dequantiser(torch.from_numpy(table), torch.from_numpy(starts), layout.segments)
    example = (
        torch.zeros(2, sub_vectors, dtype=torch.int32),
        torch.full((2, len(layout.segments)), layout.largest, dtype=torch.int32),
    )
    return save_program(SplicedDecoder(dequantiser, program_behind_quantiser(old)).eval(), example)
