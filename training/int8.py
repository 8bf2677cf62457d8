"""A decoder in int8: ONNX Runtime's static quantisation (QDQ), calibrated on training pictures at all points.

Weights have a scale for each channel, activations one each. What looks codewords up stays as it is, and so do depthwise
convolutions, whose channels differ too much for one scale, and which are little of the work.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

QUANTISED = ("Conv", "MatMul")
"""Not Gemm, which is the last layer."""
PERCENTILE = 99.999
"""Of activations lie within the range that has codes."""
Batch = dict[str, NDArray[np.int32]]
"""A decoder's inputs by name: indices (B, M) and sizes (B, S)."""


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches

    def get_next(self) -> Batch | None:
        return next(self._batches, None)


def int8_decoder(decoder: bytes, batches: Iterator[Batch]) -> bytes:
    """decoder.onnx with int8 weights and activations, whose ranges are those that they have for these inputs."""
    with tempfile.TemporaryDirectory() as folder:
        given, prepared, found = (Path(folder) / f"{name}.onnx" for name in ("given", "prepared", "found"))
        given.write_bytes(decoder)
        # Folds BatchNorm into convolutions, which are quantised better so.
        quant_pre_process(str(given), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(found),
            _Reader(batches),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTISED),
            nodes_to_exclude=_depthwise(onnx.load(str(prepared))),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": PERCENTILE},
        )
        model = onnx.load(str(found))
    del model.metadata_props[:]
    used = {node.domain for node in model.graph.node}  # ONNX Runtime names all that it knows
    versions = [one for one in model.opset_import if one.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(versions)
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def _depthwise(model: onnx.ModelProto) -> list[str]:
    """Names of convolutions that have a group for each channel, or for a few."""
    convolutions = (node for node in model.graph.node if node.op_type == "Conv")
    return [node.name for node in convolutions if any(one.name == "group" and one.i > 1 for one in node.attribute)]
