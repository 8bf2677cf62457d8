"""Files that were made to hurt whoever reads them. Each is small; what it asks for is not."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The image as a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(side: int = 64) -> Image.Image:
    """A picture that no coder makes short."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8))


def webp_header(width: int, height: int, kind: bytes = b"VP8X") -> bytes:
    """46 bytes of WebP, of this size by its own word."""
    if kind == b"VP8X":
        body = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    elif kind == b"VP8L":
        body = b"\x2f" + (width - 1 | height - 1 << 14).to_bytes(4, "little")
    else:
        body = b"\x10\x02\0\x9d\x01\x2a" + struct.pack("<HH", width, height)
    body = body.ljust(26, b"\0")
    return b"RIFF" + struct.pack("<I", 12 + len(body)) + b"WEBP" + kind + struct.pack("<I", len(body)) + body


def png_header(width: int, height: int) -> bytes:
    """A PNG that ends where its picture would begin."""
    return encoded(Image.new("L", (1, 1)), "PNG")[:16] + struct.pack(">II", width, height) + bytes([8, 0, 0, 0, 0])


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """Of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def jpeg_header(width: int, height: int) -> bytes:
    """A JPEG with another size than it has."""
    file = encoded(Image.new("L", (8, 8)), "JPEG")
    at = file.index(b"\xff\xc0") + 5
    return file[:at] + struct.pack(">HH", height, width) + file[at + 4 :]


def jpeg_with(segments: bytes, file: bytes | None = None) -> bytes:
    """A JPEG with further segments right after its begin."""
    file = file or encoded(noise(), "JPEG")
    return file[:2] + segments + file[2:]


def segment(marker: int, body: bytes) -> bytes:
    """Of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, 2 + len(body)) + body


def repeated_scan(side: int, times: int, between: bytes = b"") -> bytes:
    """A progressive JPEG whose last scan comes again and again: 27 bytes for a walk over all its pixels."""
    file = encoded(Image.new("RGB", (side, side), (128, 10, 200)), "JPEG", progressive=True, subsampling=0)
    scan = file[file.rindex(b"\xff\xda") : -2]
    return file[:-2] + (between + scan) * times + file[-2:]


def exif_of_copies(entries: int, size: int) -> bytes:
    """EXIF whose every entry names the same bytes: an eager reader copies them so often."""
    table = b"".join(struct.pack("<HHII", 1000 + i, 7, size, 8) for i in range(entries))
    tiff = b"II*\0" + struct.pack("<IH", 8, entries) + table + bytes(4)
    return b"Exif\0\0" + tiff.ljust(size + 8, b"\0")


def exif_with_orientation(kind: int, count: int, value: bytes) -> bytes:
    """EXIF with this as its orientation."""
    return b"Exif\0\0II*\0" + struct.pack("<IHHHI", 8, 1, 0x0112, kind, count) + value.ljust(4, b"\0") + bytes(4)
