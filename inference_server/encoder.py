"""The edge half, for callers that send a picture: the same encoder.onnx, on the server's CPU."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from wire.artifact import Artifact
from wire.local_head import local_head_of, local_outputs
from wire.manifest import ENCODER, LOCAL_LOGITS
from wire.payload import Indices
from wire.pictures import OpenPicture, fit_picture
from wire.sessions import GraphSession
from wire.tasks import Output


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
        return cast(Indices, self._session.run("indices", self._inputs(picture, point))[0])

    def answer(self, picture: OpenPicture) -> Output:
        """What an edge would answer to a picture without a server, (classes,).

        Raises:
            PictureError: if it cannot be decoded.
            PointError: if the model has no local head.
        """
        local_head_of(self._manifest)
        logits = self._session.run(LOCAL_LOGITS, self._inputs(picture, 1))
        (outputs,) = local_outputs(self._manifest, logits, 1)
        return cast(Output, outputs)

    def _inputs(self, picture: OpenPicture, point: int) -> dict[str, NDArray[Any]]:
        sizes = np.array(self._manifest.point(point).sizes, np.int32)
        fitted = fit_picture(picture.read(), self._manifest.preprocessing.size)
        return {"picture": fitted[None], "sizes": sizes}
