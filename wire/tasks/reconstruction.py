"""Reconstruction: the answer is the picture itself, as far as it is known from what was sent."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wire.exceptions import PictureError, ProtocolError
from wire.generated import remote_inference_pb2 as pb
from wire.manifest import Manifest
from wire.pictures import Picture, open_picture

LIKE_THE_ORIGINAL_DB = 40.0
"""Who sees a reconstruction of such a PSNR seldom tells it from the original."""


@dataclass(frozen=True)
class Reconstruction:
    """A picture as a PNG file."""

    png: bytes

    @property
    def picture(self) -> Picture:
        """RGB, shape (side, side, 3).

        Raises:
            ProtocolError: if the file is damaged.
        """
        try:
            return open_picture(self.png, name="the reconstruction").read()
        except PictureError as error:
            raise ProtocolError(f"The server's answer is no picture: {error}") from error


class ReconstructionTask:
    """`wire.tasks.Task` whose output are pictures (B, 3, S, S), in 0..1 where they are exact."""

    def postprocess(self, output: NDArray[np.float32], temperatures: NDArray[np.float32]) -> NDArray[np.float32]:
        """Clipped to 0..1; pictures have no temperature."""
        return output.clip(0, 1)

    def fill(self, answer: pb.Answer, output: NDArray[np.float32], manifest: Manifest, top_k: int) -> None:
        """Rounded to 8 bits, as a PNG file."""
        samples = np.ascontiguousarray((output.transpose(1, 2, 0) * 255).round().astype(np.uint8))
        file = io.BytesIO()
        Image.fromarray(samples).save(file, "PNG")
        answer.reconstruction.png = file.getvalue()

    def read(self, answer: pb.Answer) -> Reconstruction:
        """The picture in an answer; it is not decoded yet."""
        if not answer.reconstruction.png.startswith(b"\x89PNG\r\n\x1a\n"):
            raise ProtocolError("The answer holds no PNG file; the server has another task than this model's.")
        return Reconstruction(answer.reconstruction.png)

    def describe(self, value: Reconstruction) -> dict[str, Any]:
        """As JSON: `png`, the file in base64."""
        return {"png": base64.b64encode(value.png).decode()}

    def text(self, value: Reconstruction) -> str:
        """That it is a picture, and what the file takes."""
        return f"a picture, {len(value.png):,} bytes as PNG"

    def confidence(self, value: Reconstruction) -> float:
        """0: whatever has come, the next plane makes it better."""
        return 0.0

    def utility(self, metric: float) -> float:
        """PSNR in dB as a share of `LIKE_THE_ORIGINAL_DB`."""
        return min(1.0, max(0.0, metric / LIKE_THE_ORIGINAL_DB))
