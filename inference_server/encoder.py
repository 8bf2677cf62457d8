"""The edge half, for callers that send a picture: the same encoder.onnx, on the server's CPU."""

from __future__ import annotations

from typing import cast

import numpy as np
import onnxruntime as ort

from wire.artifact import ENCODER, Artifact
from wire.bitplanes import Indices
from wire.pictures import fit_picture, read_picture


class PictureEncoder:
    """Picture files to indices."""

    def __init__(self, artifact: Artifact, *, threads: int, max_pixels: int) -> None:
        self._manifest = artifact.manifest
        self._max_pixels = max_pixels
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = ort.InferenceSession(artifact.path(ENCODER), options, providers=["CPUExecutionProvider"])

    def encode(self, file: bytes, level: int) -> Indices:
        """A picture file to its level-l indices (M,).

        Raises:
            PictureError: if it is no picture, or larger than the limit.
            LevelError: if the model does not have this level.
        """
        level = self._manifest.check_level(level)
        picture = fit_picture(read_picture(file, max_pixels=self._max_pixels), self._manifest.preprocessing.size)
        feed = {"picture": picture[None], "level": np.array(level, np.int64)}
        return cast(Indices, self._session.run(["indices"], feed)[0][0])
