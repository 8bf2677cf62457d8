"""From a picture file to the encoder's input. Edge, server and training all go through here."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from wire.exceptions import PictureError

MAX_PIXELS = 50_000_000
"""Default limit on width × height, checked from the header before anything is decoded."""

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm"}
"""Files in a folder that are taken for pictures."""

Picture = NDArray[np.uint8]
"""RGB, shape (height, width, 3)."""


def read_picture(source: bytes | str | Path, *, max_pixels: int = MAX_PIXELS, name: str | None = None) -> Picture:
    """Reads a picture of any common format as RGB, the way a viewer would show it.

    EXIF rotation is applied, 16-bit samples are scaled to 8 bits, CMYK, palette and grey pictures
    are converted, transparency is laid on white, and of an animation the first frame is taken.

    Raises:
        PictureError: if it is no picture, is truncated, or has more than `max_pixels` pixels.
    """
    name = name or ("the picture" if isinstance(source, bytes) else str(source))
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError as error:
        raise PictureError(f"{name}: cannot be read ({error.strerror}).") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own limit only warns; ours, below, refuses
            image: Image.Image = Image.open(io.BytesIO(data))
            width, height = image.size
            if width * height > max_pixels:
                raise PictureError(
                    f"{name}: {width}×{height} pixels are more than the limit of {max_pixels:,}; "
                    "scale the picture down, or raise the limit."
                )
            return as_rgb(image)
    except UnidentifiedImageError as error:
        raise PictureError(f"{name}: is not a picture in a format we know; send JPEG, PNG or WebP.") from error
    except Image.DecompressionBombError as error:
        raise PictureError(
            f"{name}: its pixels are more than the limit of {max_pixels:,}; scale the picture down, or raise the limit."
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError) as error:
        raise PictureError(f"{name}: is damaged or cut short ({error}).") from error


def as_rgb(image: Image.Image) -> Picture:
    """A picture that Pillow has opened, as `read_picture` gives it; raises what Pillow does where it is damaged."""
    assert not ImageFile.LOAD_TRUNCATED_IMAGES, "a truncated picture must be refused"
    image.seek(0)
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        samples = np.asarray(image, np.float64)
        # 16 bits is what PNG and TIFF carry here; wider data are scaled by their own maximum.
        top = 65535.0 if samples.max(initial=0) > 255 or image.mode.startswith("I;16") else 255.0
        grey = np.clip(samples * (255.0 / max(top, samples.max(initial=0))), 0, 255).round().astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.asarray(image.convert("RGB"))


def fit_picture(picture: Picture, size: int) -> Picture:
    """The encoder's input: shorter side scaled to `size` (antialiased, bilinear), centre crop.

    Returns shape (size, size, 3). A picture that already has this shape is returned as it is.
    """
    height, width = picture.shape[:2]
    if (height, width) == (size, size):
        return picture
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    # Crop and resize in one call, so that a picture of 1×20,000 never grows on its long side.
    fitted = Image.fromarray(picture).resize(
        (size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side)
    )
    return np.asarray(fitted)
