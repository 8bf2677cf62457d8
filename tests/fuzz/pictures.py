"""Picture files: a picture, or a sentence."""

from __future__ import annotations

import numpy as np

from wire.exceptions import PictureError
from wire.pictures import fit_picture, read_picture

MAX_PIXELS = 1 << 18


def check(data: bytes) -> None:
    try:
        picture = read_picture(data, max_pixels=MAX_PIXELS)
    except PictureError:
        return
    height, width, channels = picture.shape
    assert picture.dtype == np.uint8 and channels == 3 and 0 < height * width <= MAX_PIXELS
    assert fit_picture(picture, 8).shape == (8, 8, 3)
