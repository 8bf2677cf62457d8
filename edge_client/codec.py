"""The fallback: the picture as a small WebP file, both halves of the network on the server."""

from __future__ import annotations

import io

from PIL import Image

from wire.pictures import Picture

POINTS: tuple[tuple[float, int], ...] = ((0.5, 10), (0.5, 40), (0.5, 80), (1, 10), (1, 25), (1, 50), (1, 75), (1, 90))
"""Side, as a share of the encoder's input, and quality: small pictures are what few bytes are best spent on."""


def write_webp(picture: Picture, side: int, quality: int) -> bytes:
    """A square picture (S, S, 3), scaled to `side`, as a file."""
    file, image = io.BytesIO(), Image.fromarray(picture)
    image.resize((side, side), Image.Resampling.LANCZOS).save(file, "WebP", quality=quality, method=4)
    return file.getvalue()
