"""From a picture file to the encoder's input. Edge, server and training all go through here."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import (
    Image,
    ImageFile,
    JpegImagePlugin,  # noqa: F401 (named here, so that Pillow does not load the other forty to look for them)
    PngImagePlugin,  # noqa: F401
    WebPImagePlugin,  # noqa: F401
)

from wire.exceptions import PictureError
from wire.files import plain_file
from wire.picture_files import ORIENTATION, SUFFIXES, PictureFile, orientation_of, parse_picture_file

MAX_PIXELS = 4096 * 3072
"""Default limit on width × height: 12.6 million, what most telephones take."""
MAX_FILE_BYTES = 64 * 1024 * 1024
"""Of a picture that is read from a path."""
BYTES_PER_PIXEL = 28
"""That reading and fitting a picture takes at most; `tests/wire/test_picture_memory.py` measures it."""

PICTURE_SUFFIXES = SUFFIXES
"""Files in a folder that are taken for pictures."""
FORMATS = "JPEG, PNG and WebP"
"""That are read, wherever a picture comes from."""

Picture = NDArray[np.uint8]
"""RGB, shape (height, width, 3)."""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture of this EXIF orientation upright."""


def pictures_in(folder: Path) -> list[Path]:
    """The files in a folder, and in those within, that are taken for pictures, in the order of their paths."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)


@dataclass(frozen=True)
class OpenPicture:
    """A picture whose header has been read and is within the limits; nothing of it has been decoded."""

    name: str
    file: PictureFile

    @property
    def memory_bytes(self) -> int:
        """That it takes at most while it is read and fitted."""
        return memory_bytes(self.file.pixels, len(self.file.data))

    def read(self) -> Picture:
        """Decodes it, as `read_picture` says.

        Raises:
            PictureError: whatever its decoder says against it.
        """
        file = self.file
        try:
            return _decoded(file)
        except MemoryError as error:
            raise PictureError(
                f"{self.name}: there is no memory to decode its {file.width}×{file.height} pixels; scale it down."
            ) from error
        except Exception as error:  # decoders raise what they like on a file that was made to hurt them
            raise PictureError(f"{self.name}: is damaged or cut short ({error or type(error).__name__}).") from error


def memory_bytes(pixels: int, file_bytes: int) -> int:
    """What reading and fitting a picture takes at most; decoders make two copies of the file."""
    return BYTES_PER_PIXEL * pixels + 2 * file_bytes


def open_picture(source: bytes | str | Path, *, max_pixels: int = MAX_PIXELS, name: str | None = None) -> OpenPicture:
    """Reads the header of a JPEG, PNG or WebP file.

    Raises:
        PictureError: if it cannot be read, is of another format, or has more than `max_pixels` pixels.
    """
    name = name or ("the picture" if isinstance(source, bytes) else str(source))
    try:
        file = parse_picture_file(source if isinstance(source, bytes) else _file_bytes(Path(source), name))
    except ValueError as error:
        raise PictureError(f"{name}: is damaged or cut short ({error}).") from error
    if file is None:
        raise PictureError(
            f"{name}: is not a picture in a format that is read; send {FORMATS.replace(' and ', ' or ')}."
        )
    if file.pixels > max_pixels:
        raise PictureError(
            f"{name}: {file.width}×{file.height} pixels are more than the limit of {max_pixels:,}; "
            "scale the picture down, or raise the limit."
        )
    return OpenPicture(name, file)


def read_picture(source: bytes | str | Path, *, max_pixels: int = MAX_PIXELS, name: str | None = None) -> Picture:
    """Reads a JPEG, PNG or WebP file as RGB, the way a viewer would show it.

    EXIF rotation is applied, 16-bit samples are scaled to 8 bits, CMYK, palette and grey pictures
    are converted, transparency is laid on white, and of an animation the first frame is taken. A JPEG is decoded
    at its full size: its decoder's draft mode gives other pixels, and no recipe of preprocessing asks for it.

    Raises:
        PictureError: if it is no picture, is truncated, or has more than `max_pixels` pixels.
    """
    return open_picture(source, max_pixels=max_pixels, name=name).read()


def from_image(image: Image.Image) -> Picture:
    """A picture that was opened with Pillow, of whatever format, as `read_picture` gives it.

    Raises:
        PictureError: whatever its decoder says against it.
    """
    try:
        image.seek(0)
        image.load()
        return _upright_rgb(image, image.getexif().get(ORIENTATION, 1))
    except Exception as error:
        raise PictureError(f"The picture is damaged or cut short ({error or type(error).__name__}).") from error


def _file_bytes(path: Path, name: str) -> bytes:
    """A file's; one whose end is not known is none."""
    try:
        with plain_file(path) as found:
            if found is None:
                raise PictureError(f"{name}: is not a plain file.")
            file, size = found
            if size > MAX_FILE_BYTES:
                raise PictureError(f"{name}: has {size:,} bytes, more than the limit of {MAX_FILE_BYTES:,}.")
            return file.read(MAX_FILE_BYTES)
    except OSError as error:
        raise PictureError(f"{name}: cannot be read ({error.strerror}).") from error


def _decoded(file: PictureFile) -> Picture:
    assert not ImageFile.LOAD_TRUNCATED_IMAGES, "a truncated picture must be refused"
    image = Image.open(io.BytesIO(file.data), formats=[file.format])
    if image.size != (file.width, file.height):
        raise ValueError(f"it says {file.width}×{file.height} pixels, and has {image.width}×{image.height}")
    image.load()
    return _upright_rgb(image, orientation_of(file.exif or image.info.get("exif", b"")))


def _upright_rgb(image: Image.Image, orientation: int) -> Picture:
    """A loaded picture of any of Pillow's modes. orientation: EXIF's, 1 to 8."""
    if orientation in TURNS:
        image = image.transpose(TURNS[orientation])
    if image.mode.startswith("I") or image.mode == "F":
        samples = np.array(image, np.float64)
        # 16 bits is what PNG carries; wider data, which only a caller's own image has, are scaled by their maximum.
        top = 65535.0 if samples.max(initial=0) > 255 or image.mode.startswith("I;16") else 255.0
        samples *= 255.0 / max(top, samples.max(initial=0))
        grey = np.clip(samples, 0, 255, out=samples).round(out=samples).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB") if image.mode != "RGB" else image)


def fit_picture(picture: Picture, size: int) -> Picture:
    """The encoder's input: shorter side scaled to `size` (antialiased, bilinear), centre crop.

    Returns shape (size, size, 3). A picture that already has this shape is returned as it is.
    """
    height, width = picture.shape[:2]
    if (height, width) == (size, size):
        return picture
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    # Rows first, then columns, in two calls: in one, the order, and so what is rounded, depends on Pillow's release.
    # Rows that nothing comes from are left out, so that a picture of 1×20,000 never grows on its long side.
    margin = side // size + 2
    first, end = max(0, int(top) - margin), min(height, int(top) + side + 1 + margin)
    used, bilinear = Image.fromarray(picture[first:end]), Image.Resampling.BILINEAR
    narrow = used.resize((size, end - first), bilinear, box=(left, 0, left + side, end - first))
    top -= first
    return np.asarray(narrow.resize((size, size), bilinear, box=(0, top, size, top + side)))
