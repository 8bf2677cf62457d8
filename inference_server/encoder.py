"""The edge half, for callers that send a picture: the same encoder.onnx, on the server's CPU."""

from __future__ import annotations

from typing import cast

import numpy as np
import onnxruntime as ort

from wire.artifact import Artifact
from wire.manifest import ENCODER
from wire.payload import Indices
from wire.pictures import fit_picture, read_picture


class PictureEncoder:
    """Picture files to indices."""

    def __init__(self, artifact: Artifact, *, threads: int, max_pixels: int) -> None:
        self._manifest = artifact.manifest
        self._max_pixels = max_pixels
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = ort.InferenceSession(artifact.read(ENCODER), options, providers=["CPUExecutionProvider"])

    def encode(self, file: bytes, point: int) -> Indices:
        """A picture file to its indices (M,) at an operating point.

        Raises:
            PictureError: if it is no picture, or larger than the limit.
            PointError: if the model does not have this point.
        """
        sizes = np.array(self._manifest.point(point).sizes, np.int32)
        picture = fit_picture(read_picture(file, max_pixels=self._max_pixels), self._manifest.preprocessing.size)
        return cast(Indices, self._session.run(["indices"], {"picture": picture[None], "sizes": sizes})[0][0])
