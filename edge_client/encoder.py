"""The edge half of the network, run by ONNX Runtime on the best provider there is."""

from __future__ import annotations

import logging
from typing import cast

import numpy as np
import onnxruntime as ort

from wire.artifact import ENCODER, Artifact, Manifest
from wire.bitplanes import Indices
from wire.entropy import open_coder
from wire.pictures import Picture, fit_picture

log = logging.getLogger(__name__)

PROVIDERS = ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider")


class Encoder:
    """Pictures to indices of the learned codebook.

    artifact: loaded with at least `ENCODER`, so that its hash has been checked.
    threads: of the CPU provider; 0 lets ONNX Runtime decide.
    """

    def __init__(self, artifact: Artifact, *, threads: int = 0) -> None:
        self.manifest: Manifest = artifact.manifest
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        available = [p for p in PROVIDERS if p in ort.get_available_providers()]
        self._session = ort.InferenceSession(artifact.path(ENCODER), options, providers=available)
        self.coder = open_coder(artifact)
        """Entropy coder of the planes, None where they travel packed."""
        self.provider: str = self._session.get_providers()[0]
        log.info("The encoder of %s runs on %s.", self.manifest.name, self.provider)

    def encode(self, picture: Picture, level: int) -> Indices:
        """A picture of any size to its level-l indices, shape (M,).

        Raises:
            LevelError: if the model does not have this level.
        """
        return cast(Indices, self.encode_batch(self.fit(picture)[None], level)[0])

    def fit(self, picture: Picture) -> Picture:
        """The picture at the encoder's input size."""
        return fit_picture(picture, self.manifest.preprocessing.size)

    def encode_batch(self, pictures: Picture, level: int) -> Indices:
        """Pictures (B, S, S, 3) that already have the encoder's size, to indices (B, M)."""
        feed = {"picture": pictures, "level": np.array(self.manifest.check_level(level), np.int64)}
        return cast(Indices, self._session.run(["indices"], feed)[0])
