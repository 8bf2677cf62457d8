"""Graphs that are not to be opened, wherever in the file it hides."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests import tiny
from tests.conftest import ROOT
from wire.exceptions import ArtifactError
from wire.generated import onnx_graph_pb2
from wire.graphs import check_graph
from wire.manifest import ENCODER

SHIPPED = sorted((ROOT / "models").glob("*/*.onnx"))
ONNX_NAMES = {"OperatorSet": "OperatorSetId", "Property": "StringStringEntry"}
EXTERNAL = "reads the values of 'secret' from another file"


def file_values(path: str = "/etc/passwd", name: str = "secret") -> TensorProto:
    """A tensor whose values are a file's."""
    tensor = TensorProto(name=name, data_type=TensorProto.UINT8, dims=[16], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=path)
    return tensor


def constant(tensor: TensorProto) -> onnx.NodeProto:
    return helper.make_node("Constant", [], ["secret"], value=tensor)


def body(*initializers: TensorProto) -> onnx.GraphProto:
    output = helper.make_tensor_value_info("out", TensorProto.UINT8, [16])
    return helper.make_graph([helper.make_node("Identity", ["secret"], ["out"])], "body", [], [output], initializers)


def on(change: Callable[[onnx.ModelProto], object]) -> Callable[[bytes], bytes]:
    """A change of the message, as one of the file."""

    def changed(encoder: bytes) -> bytes:
        model = onnx.load_from_string(encoder)
        change(model)
        data: bytes = model.SerializeToString()
        return data

    return changed


def sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add(values=file_values(), indices=file_values(), dims=[16])


def training(model: onnx.ModelProto) -> None:
    model.training_info.add(algorithm=body(file_values()))


def function(model: onnx.ModelProto) -> None:
    node = constant(file_values())
    model.functions.append(helper.make_function("own", "f", [], ["secret"], [node], model.opset_import))


def loop(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Loop", ["", ""], ["out"], body=body()))


def branch(model: onnx.ModelProto) -> None:
    branches = {"then_branch": body(file_values()), "else_branch": body()}
    model.graph.node.append(helper.make_node("If", ["condition"], ["out"], **branches))


def graphs(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("bodies", [body(file_values())]))


def foreign(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("EPContext", [], ["out"], domain="com.microsoft", ep_cache_context="x.so"))


def tensors(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("values", [file_values()]))


def sparse_attribute(model: onnx.ModelProto) -> None:
    attribute = onnx.AttributeProto(name="sparse_value", type=onnx.AttributeProto.SPARSE_TENSOR)
    attribute.sparse_tensor.values.CopyFrom(file_values())
    model.graph.node[0].attribute.append(attribute)


def default_but_named(model: onnx.ModelProto) -> None:
    """ONNX Runtime has marks of its own among the paths, for addresses in memory."""
    tensor = numpy_helper.from_array(np.zeros(16, np.uint8), "secret")
    tensor.external_data.add(key="location", value="*/_ORT_MEM_ADDR_/*")
    model.graph.initializer.append(tensor)


def located(model: onnx.ModelProto) -> None:
    tensor = numpy_helper.from_array(np.zeros(16, np.uint8), "secret")
    tensor.data_location = TensorProto.EXTERNAL
    model.graph.initializer.append(tensor)


def shaped(*dims: int) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(TensorProto(name="large", data_type=1, dims=dims, raw_data=bytes(64)))

    return change


def field(number: int, payload: bytes) -> bytes:
    """A field of bytes as it crosses."""
    return bytes(
        [number << 3 | 2 if number < 16 else (number << 3 | 2) & 127 | 128, *([number >> 4] * (number > 15))]
    ) + (bytes([len(payload) & 127 | 128, len(payload) >> 7]) + payload)


def sent_twice(encoder: bytes) -> bytes:
    """The graph again, with nothing but the initializer: both are one message to whoever reads it."""
    return encoder + field(7, field(5, file_values().SerializeToString()))


def location_sent_twice(encoder: bytes) -> bytes:
    """The last one counts, and says that the values are here."""
    return encoder + field(7, field(5, file_values().SerializeToString() + b"\x70\x00"))


def attribute_sent_twice(encoder: bytes) -> bytes:
    """An attribute whose tensor comes in two parts."""
    parts = [TensorProto(name="secret", dims=[16]), file_values()]
    parts[1].ClearField("name")
    attribute = field(1, b"value") + b"".join(field(5, part.SerializeToString()) for part in parts)
    return encoder + field(7, field(1, field(4, b"Constant") + field(5, attribute)))


def of_another_wire_type(encoder: bytes) -> bytes:
    """A group where a message is expected."""
    return encoder + field(7, bytes([5 << 3 | 3, 5 << 3 | 4]))


def ort_format(encoder: bytes) -> bytes:
    """A file that is ONNX, and of ONNX Runtime's own format, too: whoever opens it picks one."""
    return field(6, b"\0ORTM") + encoder


HIDDEN: list[tuple[Callable[[bytes], bytes], str]] = [
    (on(lambda model: model.graph.initializer.append(file_values())), EXTERNAL),
    (on(lambda model: model.graph.initializer.append(file_values("../../secret"))), EXTERNAL),
    (on(lambda model: model.graph.node.append(constant(file_values()))), EXTERNAL),
    (on(tensors), EXTERNAL),
    (on(located), EXTERNAL),
    (on(default_but_named), EXTERNAL),
    (on(sparse), "holds sparse values"),
    (on(sparse_attribute), "has the field 22 in its Attribute"),
    (on(training), "holds graphs for training"),
    (on(function), "holds functions of its own"),
    (on(loop), "holds the operator 'Loop' with a graph of its own"),
    (on(branch), "holds the operator 'If' with a graph of its own"),
    (on(graphs), "with a graph of its own"),
    (on(foreign), r"needs operators of 'com\.microsoft'"),
    (on(lambda model: model.opset_import.add(domain="x.y\x1b[2J")), r"needs operators of 'x\.y\\x1b\[2J'"),
    (on(shaped(1 << 40)), "names more values of 'large' than it holds"),
    (on(shaped(1 << 31, 1 << 31, 1 << 31)), "names more values"),
    (on(shaped(-1)), "names an impossible shape"),
    (on(shaped(*[1] * 17)), "names an impossible shape"),
    (on(lambda model: model.graph.quantization_annotation.add(tensor_name="x")), "has the field 14 in its Graph"),
    (on(lambda model: model.ClearField("graph")), "holds no graph"),
    (sent_twice, EXTERNAL),
    (location_sent_twice, EXTERNAL),
    (attribute_sent_twice, EXTERNAL),
    (of_another_wire_type, "has the field 5 in its Graph"),
    (ort_format, "is of ONNX Runtime's own format"),
    (lambda encoder: b"", "holds no graph"),
    (lambda encoder: encoder[:-1], "is not an ONNX graph"),
    (lambda encoder: b"#!/bin/sh\n" * 100, "is not an ONNX graph"),
]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return tiny.progressive(tmp_path_factory.mktemp("models") / "model").read(ENCODER)


@pytest.mark.parametrize("change,said", HIDDEN)
def test_what_is_not_to_be_opened_is_refused(encoder: bytes, change: Callable[[bytes], bytes], said: str) -> None:
    with pytest.raises(ArtifactError, match=rf"The encoder is not run: it .*{said}.*Fetch the model") as refused:
        check_graph(change(encoder), "The encoder")
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: "/".join(path.parts[-2:]))
def test_what_we_ship_is_opened(path: Path) -> None:
    check_graph(path.read_bytes(), path.name)


def test_our_messages_are_those_of_onnx() -> None:
    for name, ours in onnx_graph_pb2.DESCRIPTOR.message_types_by_name.items():
        theirs = getattr(onnx, f"{ONNX_NAMES.get(name, name)}Proto").DESCRIPTOR
        for number, own in ours.fields_by_number.items():
            other = theirs.fields_by_number[number]
            assert own.name == other.name
            # Strings and messages as bytes, enumerations as integers: they cross alike.
            assert own.type in {other.type, own.TYPE_BYTES if other.type in (9, 11) else own.TYPE_INT32}


def test_broken_files_are_refused_or_opened_and_nothing_else(encoder: bytes) -> None:
    rng = random.Random(0)
    for _ in range(2000):
        data = bytearray(encoder)
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        with contextlib.suppress(ArtifactError):
            check_graph(bytes(data[: rng.randint(0, len(data))] if rng.random() < 0.3 else data), "The encoder")
