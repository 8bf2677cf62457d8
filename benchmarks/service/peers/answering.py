"""What the peers do with a picture: the payload read, decoded by artoveq's decoder, the likeliest class answered."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.service.load import decoded
from inference_server.decoder import OnnxDecoder
from wire.artifact import load_artifact
from wire.entropy import open_coder
from wire.payload import Indices, PayloadCodec


class Answerer:
    """One thread decodes, as in artoveq's own server."""

    def __init__(self, model: Path, point: int) -> None:
        artifact = load_artifact(model)
        self._manifest, self._point = artifact.manifest, point
        self._codec = PayloadCodec(artifact.manifest, open_coder(artifact))
        self._decoder = OnnxDecoder(artifact, threads=1)

    def indices(self, asked: dict[str, Any]) -> Indices:
        """Of the JSON body of a request, {"data": base64, "packed": bool}."""
        return self._codec.read_block(base64.b64decode(asked["data"]), asked["packed"], self._point)

    def answers(self, pictures: Sequence[Indices]) -> list[dict[str, Any]]:
        """Of a batch, as JSON values."""
        output = decoded(self._decoder, self._manifest, np.stack(pictures), self._point)
        return [{"index": int(row.argmax()), "probability": float(row.max())} for row in output]
