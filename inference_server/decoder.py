"""The server half of the network: indices of any levels, mixed in one batch, to probabilities."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Protocol, cast

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from wire.artifact import DECODER, TORCH_DECODER, Artifact
from wire.bitplanes import Indices

log = logging.getLogger(__name__)

Probabilities = NDArray[np.float32]

TRIAL_PICTURES, TRIALS = 16, 5


class Decoder(Protocol):
    """What the batcher needs of a decoder."""

    device: str

    def decode(self, indices: Indices, levels: NDArray[np.int64]) -> Probabilities:
        """indices (B, M) at levels (B,), to probabilities (B, classes)."""
        ...


class OnnxDecoder:
    """decoder.onnx on the CPU."""

    device = "cpu"

    def __init__(self, artifact: Artifact, threads: int = 0) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = ort.InferenceSession(artifact.path(DECODER), options, providers=["CPUExecutionProvider"])
        self._temperatures = temperatures(artifact)

    def decode(self, indices: Indices, levels: NDArray[np.int64]) -> Probabilities:
        (logits,) = self._session.run(["logits"], {"indices": indices, "levels": levels})
        return softmax(logits / self._temperatures[levels][:, None])


class TorchDecoder:
    """decoder.pt2 on a GPU in bfloat16, or on the CPU as it is.

    On a GPU each batch is filled up to a power of two, for which the kernels were captured once as a graph:
    launching them one by one would take longer than they do.
    """

    def __init__(self, artifact: Artifact, device: str = "cuda") -> None:
        import torch
        from torch.export.passes import move_to_device_pass

        self.device = device
        self._torch = torch
        self._module = move_to_device_pass(torch.export.load(artifact.path(TORCH_DECODER)), device).module()
        self._temperatures = torch.from_numpy(temperatures(artifact)).to(device)
        self._graphs: dict[int, Callable[[Indices, NDArray[np.int64]], Any]] = {}

    def decode(self, indices: Indices, levels: NDArray[np.int64]) -> Probabilities:
        torch, count = self._torch, len(indices)
        with torch.inference_mode():
            if self.device == "cpu":
                answers = self._probabilities(torch.from_numpy(indices), torch.from_numpy(levels))
            else:
                size = 1 << (count - 1).bit_length()
                if size not in self._graphs:
                    self._graphs[size] = self._captured(size, indices.shape[1])
                answers = self._graphs[size](indices, levels)[:count]
            return cast(Probabilities, answers.cpu().numpy())

    def _probabilities(self, indices: Any, levels: Any) -> Any:
        torch = self._torch
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device != "cpu"):
            logits = self._module(indices, levels).float()
        return (logits / self._temperatures[levels][:, None]).softmax(1)

    def _captured(self, size: int, sub_vectors: int) -> Callable[[Indices, NDArray[np.int64]], Any]:
        """A graph for batches of `size`; what it is called with may be shorter."""
        torch = self._torch
        indices = torch.zeros(size, sub_vectors, dtype=torch.uint8, device=self.device)
        levels = torch.ones(size, dtype=torch.int64, device=self.device)
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):  # what is allocated and chosen at the first run must not be captured
            for _ in range(3):
                self._probabilities(indices, levels)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            answers = self._probabilities(indices, levels)

        def replay(new_indices: Indices, new_levels: NDArray[np.int64]) -> Any:
            indices[: len(new_indices)].copy_(torch.from_numpy(new_indices))
            levels[: len(new_levels)].copy_(torch.from_numpy(new_levels))
            graph.replay()
            return answers

        return replay


def temperatures(artifact: Artifact) -> NDArray[np.float32]:
    """What divides the logits, by level; 0 is no level."""
    by_level = {row.level: row.temperature for row in artifact.manifest.levels}
    return np.array([by_level.get(level, 1.0) for level in range(artifact.manifest.max_level + 1)], np.float32)


def softmax(logits: NDArray[np.float32]) -> Probabilities:
    """Along the last axis."""
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return cast(Probabilities, shifted / shifted.sum(-1, keepdims=True))


def open_decoder(artifact: Artifact, threads: int = 0, kind: str = "auto") -> Decoder:
    """The decoder of this kind, as `Settings.decoder` names them; logs which it is."""
    made: dict[str, Callable[[], Decoder]] = {
        "onnx": lambda: OnnxDecoder(artifact, threads),
        "torch": lambda: TorchDecoder(artifact, "cuda" if _cuda() else "cpu"),
    }
    if kind == "auto":
        kind = "torch" if _cuda() else "onnx"
    if kind == "fastest":
        decoder = min((make() for make in made.values()), key=lambda one: trial(one, artifact.manifest.sub_vectors))
    else:
        decoder = made[kind]()
    log.info("The decoder of %s is %s on %s.", artifact.manifest.name, type(decoder).__name__, decoder.device)
    return decoder


def trial(decoder: Decoder, sub_vectors: int) -> float:
    """Seconds that a batch takes, at best of a few."""
    indices, levels = np.zeros((TRIAL_PICTURES, sub_vectors), np.uint8), np.ones(TRIAL_PICTURES, np.int64)
    times = []
    for _ in range(1 + TRIALS):
        began = time.perf_counter()
        decoder.decode(indices, levels)
        times.append(time.perf_counter() - began)
    return min(times[1:])


def _cuda() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return bool(torch.cuda.is_available())
