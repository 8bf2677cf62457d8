"""The edge half, for callers that send a picture: the same encoder.onnx, on the server's CPU."""

from __future__ import annotations

from typing import cast

import numpy as np

from wire.artifact import Artifact
from wire.manifest import ENCODER
from wire.payload import Indices
from wire.pictures import OpenPicture, fit_picture
from wire.sessions import GraphSession


class PictureEncoder:
    """Pictures to indices."""

    def __init__(self, artifact: Artifact, *, threads: int) -> None:
        self._manifest = artifact.manifest
        self._session = GraphSession(artifact, ENCODER, threads=threads)

    def encode(self, picture: OpenPicture, point: int) -> Indices:
        """A picture to its indices (M,) at an operating point.

        Raises:
            PictureError: if it cannot be decoded.
            PointError: if the model does not have this point.
        """
        sizes = np.array(self._manifest.point(point).sizes, np.int32)
        fitted = fit_picture(picture.read(), self._manifest.preprocessing.size)
        return cast(Indices, self._session.run("indices", {"picture": fitted[None], "sizes": sizes})[0])
