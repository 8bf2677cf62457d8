"""encoder.onnx: refused with a sentence, or nothing in it names another file or a graph of its own; then ONNX Runtime
opens it, or says why not."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
import onnxruntime as ort
from google.protobuf.message import DecodeError, Message

from wire.exceptions import ArtifactError
from wire.graphs import check_graph

OPTIONS = ort.SessionOptions()
OPTIONS.intra_op_num_threads = 1
OPTIONS.log_severity_level = 4


def check(data: bytes) -> None:
    try:
        check_graph(data, "a graph")
    except ArtifactError:
        return
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError:
        return
    assert not model.functions
    for message in _messages(model):
        if isinstance(message, onnx.TensorProto):
            assert not message.external_data and message.data_location == onnx.TensorProto.DEFAULT
        if isinstance(message, onnx.AttributeProto):
            assert not message.HasField("g") and not message.graphs
    try:
        ort.InferenceSession(data, OPTIONS, providers=["CPUExecutionProvider"], disable_fallback=True)
    except Exception:  # its own words; what must not happen is that the process ends
        return


def _messages(message: Message) -> Iterator[Message]:
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for one in value if field.is_repeated else (value,):
                yield from _messages(one)
