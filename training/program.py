"""Torch modules as files that hold no code of Python's: ONNX graphs and torch.export programs."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

from wire.programs import clean_program

OPSET = 18
BATCH = {0: torch.export.Dim("batch")}
"""The axis that may have any length; examples hold two pictures, for one would freeze it."""


def save_program(module: nn.Module, example: tuple[Any, ...], axes: tuple[Any, ...] | None = None) -> bytes:
    """A torch.export program; axes: as of `save_onnx`, where not all of its arguments have a batch axis.

    Raises:
        ArtifactError: if it holds what no server would load.
    """
    program = torch.export.export(module, example, dynamic_shapes=axes or tuple(BATCH for _ in example))
    program._example_inputs = None  # torch would store them as a pickle
    archive = io.BytesIO()
    torch.export.save(program, archive)
    return clean_program(archive.getvalue(), "The program")


def save_onnx(
    module: nn.Module, example: tuple[Any, ...], names: Sequence[str], output: str, axes: tuple[Any, ...]
) -> bytes:
    """An ONNX graph with these names of inputs and output; axes: `BATCH` or None for each input.

    An argument may be a list of tensors; then each has a name, and axes a list in its place.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            module,
            example,
            str(path),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(names),
            output_names=[output],
            dynamic_shapes=axes,
            external_data=False,
            optimize=True,
            verbose=False,
        )
        graph = onnx.load(str(path))
    # Names and stack traces of the exporting machine do not belong into an artifact.
    for node in graph.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in graph.graph.value_info:
        del value.metadata_props[:]
    del graph.metadata_props[:]
    del graph.graph.metadata_props[:]
    onnx.checker.check_model(graph, full_check=True)
    return graph.SerializeToString()
