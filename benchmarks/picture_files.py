"""Pictures as files of the codecs that ours is measured beside."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from wire.pictures import Picture

OPTIONS: dict[str, dict[str, Any]] = {
    "webp": {"method": 6},
    "jpeg": {"optimize": True},
    "avif": {"speed": 6, "max_threads": 1},
}


def write_file(picture: Picture, codec: str, side: int, quality: int) -> bytes:
    """A square picture (S, S, 3), scaled to `side`, as a file."""
    file, image = io.BytesIO(), Image.fromarray(picture)
    image.resize((side, side), Image.Resampling.LANCZOS).save(file, codec, quality=quality, **OPTIONS[codec])
    return file.getvalue()
