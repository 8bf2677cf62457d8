"""The server half of the network: indices of any levels, mixed in one batch, to probabilities."""

from __future__ import annotations

import logging
from typing import Protocol, cast

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from wire.artifact import DECODER, TORCH_DECODER, Artifact
from wire.bitplanes import Indices

log = logging.getLogger(__name__)

Probabilities = NDArray[np.float32]


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

    def decode(self, indices: Indices, levels: NDArray[np.int64]) -> Probabilities:
        (logits,) = self._session.run(["logits"], {"indices": indices, "levels": levels})
        return softmax(logits)


class TorchDecoder:
    """decoder.pt2 on a GPU, or wherever torch is told to."""

    def __init__(self, artifact: Artifact, device: str = "cuda") -> None:
        import torch

        self.device = device
        self._torch = torch
        program = torch.export.load(artifact.path(TORCH_DECODER))
        from torch.export.passes import move_to_device_pass

        self._module = move_to_device_pass(program, device).module()

    def decode(self, indices: Indices, levels: NDArray[np.int64]) -> Probabilities:
        torch = self._torch
        with torch.inference_mode():
            logits = self._module(torch.from_numpy(indices).to(self.device), torch.from_numpy(levels).to(self.device))
            return cast(Probabilities, logits.float().softmax(1).cpu().numpy())


def softmax(logits: NDArray[np.float32]) -> Probabilities:
    """Along the last axis."""
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return cast(Probabilities, shifted / shifted.sum(-1, keepdims=True))


def open_decoder(artifact: Artifact, threads: int = 0) -> Decoder:
    """The decoder on CUDA where torch finds a GPU, else on the CPU; logs which."""
    decoder: Decoder = TorchDecoder(artifact) if _cuda() else OnnxDecoder(artifact, threads)
    log.info("The decoder of %s runs on %s.", artifact.manifest.name, decoder.device)
    return decoder


def _cuda() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return bool(torch.cuda.is_available())
