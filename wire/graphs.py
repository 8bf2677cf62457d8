"""ONNX graphs that a stranger may have made: what they may hold is listed, and everything else is refused.

ONNX Runtime follows a graph to files beside it, also to absolute paths, and runs loops for as long as they ask. So a
graph is looked through before it is opened, by the few messages of `proto/artoveq/onnx`: the edge has no `onnx`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from wire.exceptions import ArtifactError
from wire.generated import onnx_graph_pb2 as onnx

DOMAINS = (b"", b"ai.onnx")
"""Of operators: ONNX's own. Others may name files (com.microsoft.EPContext), or code that is to be loaded."""
ORT_FORMAT = b"ORTM"
"""From byte 4 on: ONNX Runtime would take the file for one of its own format, whatever else it is."""
MOST_AXES = 16
MOST_ELEMENTS_A_VALUE = 2
"""Values of four bits are stored by two."""


def check_graph(data: bytes, where: str) -> None:
    """Looks through an ONNX file; `where` names it in errors.

    Raises:
        ArtifactError: if it is none, or holds what no exported half of a network does.
    """
    try:
        fault = next(_faults(data), None)
    except (DecodeError, RecursionError):
        fault = "is not an ONNX graph"
    if fault is not None:
        raise ArtifactError(f"{where} is not run: it {fault}. Fetch the model from a server that you trust.")


def _faults(data: bytes) -> Iterator[str]:
    if data[4:8] == ORT_FORMAT:
        yield "is of ONNX Runtime's own format"
    model = onnx.Model.FromString(data)
    if not model.HasField("graph"):
        yield "holds no graph"
    if model.functions:
        yield "holds functions of its own"
    if model.training_info:
        yield "holds graphs for training"
    if model.graph.sparse_initializer:
        yield "holds sparse values"
    domains = {one.domain for one in model.opset_import} | {node.domain for node in model.graph.node}
    for domain in domains.difference(DOMAINS):
        yield f"needs operators of {_shown(domain)}, which are not ONNX's own"
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.g or attribute.graphs:
                yield f"holds the operator {_shown(node.op_type)} with a graph of its own, such as a loop"
    for message in _messages(model):
        if isinstance(message, onnx.Tensor):
            yield from _tensor_faults(message)
        unknown = UnknownFieldSet(message)
        if len(unknown):
            yield f"has the field {unknown[0].field_number} in its {type(message).__name__}, as no exported graph has"


def _tensor_faults(tensor: onnx.Tensor) -> Iterator[str]:
    if tensor.external_data or tensor.data_location:
        yield f"reads the values of {_shown(tensor.name)} from another file"
    if len(tensor.dims) > MOST_AXES or min(tensor.dims, default=0) < 0:
        yield f"names an impossible shape of {_shown(tensor.name)}"
    values = len(tensor.raw_data) + len(tensor.string_data) + len(tensor.float_data) + len(tensor.double_data)
    values += len(tensor.int32_data) + len(tensor.int64_data) + len(tensor.uint64_data)
    if math.prod(tensor.dims) > MOST_ELEMENTS_A_VALUE * values:
        yield f"names more values of {_shown(tensor.name)} than it holds"


def _messages(message: Message) -> Iterator[Message]:
    """The message, and every message in it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for one in value if isinstance(value, Iterable) else (value,):
                yield from _messages(one)


def _shown(name: bytes) -> str:
    """A stranger's name, fit to be printed."""
    return repr(name.decode(errors="replace"))[:60]
