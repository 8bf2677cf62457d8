"""Inputs of a graph that are bound to tensors which lie elsewhere."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper

from wire.base import bound
from wire.graphs import check_graph


def graph() -> bytes:
    """y = x · w + b"""
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (
        ("x", ["batch", 2]), ("block.w", [2, 3]), ("b", [3]), ("y", ["batch", 3]))}  # fmt: skip
    nodes = [helper.make_node("MatMul", ["x", "block.w"], ["m"]), helper.make_node("Add", ["m", "b"], ["y"])]
    found = helper.make_graph(nodes, "g", [values["x"], values["block.w"], values["b"]], [values["y"]])
    model = helper.make_model(found, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    data: bytes = model.SerializeToString()
    return data


def test_bound_inputs_are_constants_and_the_others_stay() -> None:
    random = np.random.default_rng(0)
    w, b, x = (random.normal(size=shape).astype(np.float32) for shape in ((2, 3), (3,), (4, 2)))
    data = bound(graph(), {"block.w": w, "of another block": b})
    check_graph(data, "the graph")
    session = ort.InferenceSession(data)
    assert [given.name for given in session.get_inputs()] == ["x", "b"]
    np.testing.assert_allclose(session.run(None, {"x": x, "b": b})[0], x @ w + b, rtol=1e-5)
