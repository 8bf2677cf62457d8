"""Whole artifacts of models that need no training: a picture's red and green, averaged over 4×4 positions.

Sub-vector (position, group g) has the value v = 0 … 255 of its colour, and the index v · K // 256 for any size K: where
sizes are powers of two, indices of fewer bits are prefixes. The decoder averages red and green again, and the class is
the corner of the square that they are nearest to.

    from tests import tiny
    artifact = tiny.progressive(tmp_path / "model")
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.wire.manifests import values_of
from wire.artifact import Artifact, write_artifact
from wire.entropy import count_tables
from wire.folded import count_rows, folded_bytes
from wire.manifest import DECODER, ENCODER, LOCAL_LOGITS, TABLES

SIDE, POSITIONS, GROUPS = 8, 16, 2
"""Of the encoder's input; of the latent; red and green."""
SUB_VECTORS = POSITIONS * GROUPS
CLASSES = {"black": (0, 0, 0), "red": (255, 0, 0), "green": (0, 255, 0), "yellow": (255, 255, 0)}
SIGNS = np.array([[-1, 1, -1, 1], [-1, -1, 1, 1]], np.float32)
"""Of red and green in the logits of the classes."""
WEIGHTS = np.tile(SIGNS * np.float32(8 / POSITIONS), (POSITIONS, 1))
NONE, COLOURS = (0, 0, 0, 0), (0, 0, 50, 50, 50, 50)
"""Of the classes; of the answers to questions, no and yes first: a question after a colour has no other answers."""
WORDS = {
    "is": (NONE, (0, 0, 0, 0, 0, 0)),
    "it": (NONE, (0, 0, 0, 0, 0, 0)),
    "red": ((-1, 1, -1, 1), (50, 50, 0, 0, 0, 0)),
    "green": ((-1, -1, 1, 1), (50, 50, 0, 0, 0, 0)),
    "what": (NONE, COLOURS),
    "colour": (NONE, COLOURS),
}
"""What a word asks about: how much of which class, and which answers it wants."""
OPSET = 18
CHAIN = ((0,), (0,), (1,), (0,), (1,), (1,), (0,), (1,))
"""Of `progressive`: its last point is level 4, level 3 is its sixth; levels 1 and 2 stand beside it."""
PROGRESSIVE = ((2, 1), (4, 1), (2, 2), (4, 2), (8, 2), (4, 4), (8, 4), (8, 8), (16, 8), (16, 16))
NESTED = ((2,), (4,), (8,), (16,))
ANY_SIZE = ((3, 1), (3, 3), (5, 3), (8, 8), (11, 7), (40, 25), (300, 150))


def progressive(folder: Path, *, coded: bool = False, local: bool = False) -> Artifact:
    """Refinable: ten points of two segments, eight of which are the chain's; with entropy tables where `coded`.

    local: with a local head, which sees the picture's red and green as they are.
    """
    return _write(folder, (1, 1), PROGRESSIVE, largest=16, chain=CHAIN, coded=coded, local=local)


def questions(folder: Path) -> Artifact:
    """Refinable, as `progressive`: is it red or green, a bit, or what colour is it? All words of that may be asked."""
    return _write(folder, (1, 1), PROGRESSIVE, largest=16, chain=CHAIN, asked=True)


def nested(folder: Path, *, coded: bool = False) -> Artifact:
    """Not refinable: levels 1 to 4 of one segment."""
    return _write(folder, (2,), NESTED, largest=16, coded=coded)


def any_size(folder: Path, *, coded: bool = False) -> Artifact:
    """Not refinable: points whose sizes are no powers of two, but for one, so that most blocks are numbers."""
    return _write(folder, (1, 1), ANY_SIZE, largest=300, any_size=True, coded=coded)


def reconstruction(folder: Path) -> Artifact:
    """Of any size: the brightness of 8×8 parts of a picture of 32×32, each a sub-vector of 64 channels."""
    sizes = [(16,), (17,), (64,), (100,), (1024,)]
    values = values_of((1,), sizes, positions=64, largest=1024, any_size=True)
    for key in ("format_version", "files", "fingerprint"):
        del values[key]
    values |= {
        "name": f"tiny-{folder.name}",
        "latent": {"shape": [64, 8, 8], "d": 64},
        "preprocessing": {"size": 32},
        "task": {"name": "reconstruction", "metric": "psnr"},
        "unquantised_metric": 30.0,
    }
    for point, psnr in zip(values["points"], (20.0, 21.0, 24.0, 25.0, 28.0), strict=True):
        point["metric"] = psnr
    return write_artifact(folder, values, {ENCODER: _brightness_encoder(), DECODER: _brightness_decoder()})


def picture(colour: str) -> NDArray[np.uint8]:
    """The encoder's input (SIDE, SIDE, 3) in the colour of a class."""
    return np.broadcast_to(np.array(CLASSES[colour], np.uint8), (SIDE, SIDE, 3)).copy()


def noise(seed: int) -> NDArray[np.uint8]:
    """A dark picture (SIDE, SIDE, 3), which entropy coding makes shorter."""
    return (255 * np.random.default_rng(seed).random((SIDE, SIDE, 3)) ** 4).astype(np.uint8)


def indices_of(picture: NDArray[np.uint8], sizes: Sequence[int]) -> NDArray[np.int32]:
    """What encoder.onnx makes of a picture (SIDE, SIDE, 3) at these sizes per segment: (M,)."""
    of_groups = np.array(sizes if len(sizes) == GROUPS else [*sizes] * GROUPS, np.int32)
    pooled = picture.reshape(4, 2, 4, 2, 3).mean((1, 3))[..., :GROUPS].astype(np.int32)
    found: NDArray[np.int32] = (pooled * of_groups // 256).reshape(-1)
    return found


def _write(
    folder: Path,
    segments: Sequence[int],
    points: Sequence[Sequence[int]],
    *,
    largest: int,
    chain: Sequence[Sequence[int]] = (),
    any_size: bool = False,
    coded: bool = False,
    local: bool = False,
    asked: bool = False,
) -> Artifact:
    values = values_of(segments, points, positions=POSITIONS, chain=chain, largest=largest, any_size=any_size)
    for key in ("format_version", "files", "fingerprint"):
        del values[key]
    values |= {
        "name": f"tiny-{folder.name}",
        "latent": {"shape": [2 * GROUPS, 4, 4], "d": 2},
        "preprocessing": {"size": SIDE},
        "task": {"name": "classification", "metric": "top1", "classes": list(CLASSES)},
    }
    for number, point in enumerate(values["points"], 1):
        point |= {"metric": round(0.5 + 0.4 * number / len(points), 3), "temperature": 1 + 0.1 * number}
        point |= {"coded_bytes": 0.9 * point["payload_bytes"]} if coded else {}
    if asked:
        known = {"vocabulary": list(WORDS), "longest": 5, "answers": ["no", "yes", *CLASSES]}
        values["task"] = {"name": "question answering", "metric": "accuracy", "questions": known}
    if local:
        values["local_head"] = {"metric": 0.6, "temperature": 2.0}
    files = {ENCODER: _encoder(segments, local), DECODER: _decoder(segments, asked)}
    if coded:
        files[TABLES] = _folded(largest) if any_size else _tables(len(segments), bool(chain))
    return write_artifact(folder, values, files)


def _tables(segments: int, refinable: bool) -> bytes:
    pictures = [noise(1000 + seed) for seed in range(64)]
    levels = [4] if refinable else [1, 2, 3, 4]
    found = {level: np.stack([indices_of(one, [2**level] * segments) for one in pictures]) for level in levels}
    return count_tables(found, GROUPS).astype("<u2").tobytes()


def _folded(largest: int) -> bytes:
    found = np.stack([indices_of(noise(1000 + seed), [largest]) for seed in range(64)])
    rows = np.tile(np.arange(largest)[None, :, None] * 7919 % 65536, (GROUPS, 1, 2)).astype(np.uint16)
    return folded_bytes(count_rows(found, GROUPS, largest), rows)


def _encoder(segments: Sequence[int], local: bool = False) -> bytes:
    nodes = [
        helper.make_node("Cast", ["picture"], ["samples"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["samples"], ["channels"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["channels"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Transpose", ["pooled"], ["positions"], perm=[0, 2, 3, 1]),
        helper.make_node("Gather", ["positions", "colours"], ["chosen"], axis=3),
        helper.make_node("Cast", ["chosen"], ["values"], to=TensorProto.INT32),
        helper.make_node("Gather", ["sizes", "segment_of_group"], ["group_sizes"], axis=0),
        helper.make_node("Mul", ["values", "group_sizes"], ["scaled"]),
        helper.make_node("Div", ["scaled", "values_per_colour"], ["divided"]),
        helper.make_node("Reshape", ["divided", "shape"], ["indices"]),
    ]
    constants = {
        "colours": np.arange(GROUPS),
        "segment_of_group": _segment_of_group(segments),
        "values_per_colour": np.array(256, np.int32),
        "shape": np.array([-1, SUB_VECTORS]),
    }
    inputs = [
        helper.make_tensor_value_info("picture", TensorProto.UINT8, ["batch", SIDE, SIDE, 3]),
        helper.make_tensor_value_info("sizes", TensorProto.INT32, [len(segments)]),
    ]
    outputs = [helper.make_tensor_value_info("indices", TensorProto.INT32, ["batch", SUB_VECTORS])]
    if local:
        nodes += [
            helper.make_node("Reshape", ["chosen", "shape"], ["flat"]),
            helper.make_node("Sub", ["flat", "middle"], ["centred"]),
            helper.make_node("MatMul", ["centred", "weights"], [LOCAL_LOGITS]),
        ]
        constants |= {"middle": np.array(127.5, np.float32), "weights": WEIGHTS / np.float32(256)}
        outputs.append(helper.make_tensor_value_info(LOCAL_LOGITS, TensorProto.FLOAT, ["batch", len(CLASSES)]))
    return _graph(nodes, constants, inputs, *outputs)


def _decoder(segments: Sequence[int], asked: bool = False) -> bytes:
    nodes = [
        helper.make_node("Gather", ["sizes", "segment_of_sub_vector"], ["spread"], axis=1),
        helper.make_node("Cast", ["spread"], ["size"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["indices"], ["index"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["index", "half"], ["middle"]),
        helper.make_node("Div", ["middle", "size"], ["share"]),
        helper.make_node("Sub", ["share", "half"], ["centred"]),
        helper.make_node("MatMul", ["centred", "weights"], ["logits"]),
    ]
    constants = {
        "segment_of_sub_vector": np.tile(_segment_of_group(segments), POSITIONS),
        "half": np.array(0.5, np.float32),
        "weights": WEIGHTS,
    }
    inputs = [
        helper.make_tensor_value_info("indices", TensorProto.INT32, ["batch", SUB_VECTORS]),
        helper.make_tensor_value_info("sizes", TensorProto.INT32, ["batch", len(segments)]),
    ]
    if asked:
        nodes[-1] = helper.make_node("MatMul", ["centred", "weights"], ["colours"])
        nodes += [
            helper.make_node("Gather", ["colours_of_words", "questions"], ["each"], axis=0),
            helper.make_node("ReduceSum", ["each", "words"], ["of_words"], keepdims=0),
            helper.make_node("Gather", ["kinds_of_words", "questions"], ["each_kind"], axis=0),
            helper.make_node("ReduceSum", ["each_kind", "words"], ["kind"], keepdims=0),
            helper.make_node("Mul", ["colours", "of_words"], ["meant"]),
            helper.make_node("ReduceSum", ["meant", "words"], ["sure"], keepdims=1),
            helper.make_node("Mul", ["sure", "sign"], ["no_and_yes"]),
            helper.make_node("Concat", ["no_and_yes", "colours"], ["answers"], axis=1),
            helper.make_node("Add", ["answers", "kind"], ["logits"]),
        ]
        constants |= {
            "colours_of_words": np.array([NONE, *(colours for colours, _ in WORDS.values())], np.float32),
            "kinds_of_words": np.array([[0] * 6, *(kind for _, kind in WORDS.values())], np.float32),
            "words": np.array([1]),
            "sign": np.array([-0.5, 0.5], np.float32),
        }
        inputs.append(helper.make_tensor_value_info("questions", TensorProto.INT32, ["batch", 5]))
    answers = len(CLASSES) + (2 if asked else 0)
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", answers])
    return _graph(nodes, constants, inputs, output)


def _brightness_encoder() -> bytes:
    nodes = [
        helper.make_node("Cast", ["picture"], ["samples"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["samples"], ["channels"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["channels"], ["pooled"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("ReduceMean", ["pooled", "colours"], ["brightness"], keepdims=0),
        helper.make_node("Cast", ["brightness"], ["values"], to=TensorProto.INT32),
        helper.make_node("Mul", ["values", "sizes"], ["scaled"]),
        helper.make_node("Div", ["scaled", "values_per_colour"], ["divided"]),
        helper.make_node("Reshape", ["divided", "shape"], ["indices"]),
    ]
    constants = {
        "colours": np.array([1]),
        "values_per_colour": np.array(256, np.int32),
        "shape": np.array([-1, 64]),
    }
    inputs = [
        helper.make_tensor_value_info("picture", TensorProto.UINT8, ["batch", 32, 32, 3]),
        helper.make_tensor_value_info("sizes", TensorProto.INT32, [1]),
    ]
    output = helper.make_tensor_value_info("indices", TensorProto.INT32, ["batch", 64])
    return _graph(nodes, constants, inputs, output)


def _brightness_decoder() -> bytes:
    """From 1.05 · (index + ½) / size − 0.025, so that black and white lie beyond 0..1, and have to be clipped."""
    nodes = [
        helper.make_node("Cast", ["sizes"], ["size"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["indices"], ["index"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["index", "half"], ["middle"]),
        helper.make_node("Div", ["middle", "size"], ["share"]),
        helper.make_node("Mul", ["share", "stretch"], ["stretched"]),
        helper.make_node("Sub", ["stretched", "shift"], ["shifted"]),
        helper.make_node("Reshape", ["shifted", "shape"], ["grid"]),
        helper.make_node("Mul", ["grid", "ones"], ["spread"]),
        helper.make_node("Reshape", ["spread", "side"], ["square"]),
        helper.make_node("Concat", ["square", "square", "square"], ["output"], axis=1),
    ]
    constants = {
        "half": np.array(0.5, np.float32),
        "stretch": np.array(1.05, np.float32),
        "shift": np.array(0.025, np.float32),
        "shape": np.array([-1, 8, 1, 8, 1]),
        "ones": np.ones((1, 1, 4, 1, 4), np.float32),
        "side": np.array([-1, 1, 32, 32]),
    }
    inputs = [
        helper.make_tensor_value_info("indices", TensorProto.INT32, ["batch", 64]),
        helper.make_tensor_value_info("sizes", TensorProto.INT32, ["batch", 1]),
    ]
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 3, 32, 32])
    return _graph(nodes, constants, inputs, output)


def _segment_of_group(segments: Sequence[int]) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(segments)), segments)


def _graph(
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, NDArray[np.generic]],
    inputs: Sequence[onnx.ValueInfoProto],
    *outputs: onnx.ValueInfoProto,
) -> bytes:
    held = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data
