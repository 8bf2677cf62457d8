"""What a picture's file says of itself, before any decoder sees it: its format, its size, how it is turned.

Read here and not by the decoder, since WebP's takes 8 bytes a pixel when a file is opened, older Pillows copy an EXIF
value as often as the file names it, and PNG's unpacks texts that nobody reads. What costs more than the bytes that were
sent is refused: a JPEG's scans, each of which walks over all its pixels for a few bytes.

JPEG: ITU-T T.81, B. PNG: ISO/IEC 15948, 5.3 and 11. WebP: RFC 9649. Orientation: Exif 2.3, 4.6.4.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Literal

Format = Literal["JPEG", "PNG", "WEBP"]
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}

MOST_SEGMENTS = 1024
"""Of a JPEG; a file of 16 MiB has 256 of the largest ones."""
MOST_CHUNKS = 16384
"""Of a PNG; a file of 16 MiB has 2048 of the smallest that are written."""
MOST_SCANS = 32
"""Of a JPEG; progressive ones have about ten."""

MARKER = re.compile(rb"\xff+([^\x00\x01\xd0-\xd7\xff])", re.DOTALL)
"""Of a JPEG's next segment that has a length: no stuffed byte, no restart."""
START_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
END_OF_IMAGE, START_OF_SCAN, APP0, APP1, APP14, COMMENT = 0xD9, 0xDA, 0xE0, 0xE1, 0xEE, 0xFE
EXIF, ORIENTATION = b"Exif\0\0", 0x0112


@dataclass(frozen=True)
class PictureFile:
    """A picture in a file. data: what its decoder needs; exif: as the file has it, or nothing where the decoder finds
    it at no cost."""

    format: Format
    width: int
    height: int
    data: bytes
    exif: bytes = b""

    @property
    def pixels(self) -> int:
        """Width × height."""
        return self.width * self.height


def parse_picture_file(data: bytes) -> PictureFile | None:
    """The picture in a file's bytes; None where they are of no format that is read.

    Raises:
        ValueError: why the header cannot be, as the end of a sentence.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    return None


def _png(data: bytes) -> PictureFile:
    """Its picture alone: texts, which are compressed, would be unpacked; of an animation, the first frame."""
    if data[12:16] != b"IHDR" or len(data) < 24:
        raise ValueError("it does not begin with its size")
    width, height = struct.unpack_from(">II", data, 16)
    exif, kept, at = b"", [data[:8]], 8
    for _ in range(MOST_CHUNKS):
        kind, begun = data[at + 4 : at + 8], at
        at += 12 + int.from_bytes(data[at : at + 4], "big")
        if kind[:1].isupper() or kind == b"tRNS":  # without which there is no picture; and which of it is seen through
            kept.append(data[begun:at])
        elif kind == b"eXIf" and not exif:
            exif = data[begun + 8 : at - 4]
        if kind == b"IEND" or at >= len(data):
            return PictureFile("PNG", width, height, b"".join(kept), exif)
    raise ValueError(f"it has more than {MOST_CHUNKS} chunks; save it anew")


def _webp(data: bytes) -> PictureFile:
    kind, size = data[12:16], (0, 0)
    if kind == b"VP8X" and len(data) >= 30:
        size = (1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little"))
    elif kind == b"VP8L" and len(data) >= 25:
        bits = int.from_bytes(data[21:25], "little")
        size = (1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    elif kind == b"VP8 " and len(data) >= 30:
        width, height = struct.unpack_from("<HH", data, 26)
        size = (width & 0x3FFF, height & 0x3FFF)
    else:
        raise ValueError("it does not begin with its size")
    return PictureFile("WEBP", *size, data)


def _jpeg(data: bytes) -> PictureFile:
    """Its picture alone, without what applications and cameras put before it."""
    size, exif, kept, at, scans = (0, 0), b"", [data[:2]], 2, 0
    first_scan = 0
    for _ in range(MOST_SEGMENTS):
        found = MARKER.search(data, at) if scans else MARKER.match(data, at)
        if found is None:
            break
        kind, begun, end = found[1][0], found.start(), found.end()
        if kind == END_OF_IMAGE:
            break
        length = int.from_bytes(data[end : end + 2], "big")
        at = end + max(2, length)
        if kind == START_OF_SCAN:
            first_scan, scans = first_scan or begun, scans + 1
            if scans > MOST_SCANS:
                raise ValueError(f"it has more than {MOST_SCANS} scans; save it anew")
        elif scans:
            continue
        elif kind in START_OF_FRAME:
            if any(size):
                raise ValueError("it has two sizes")
            height, width = struct.unpack(">HH", data[end + 3 : end + 7].ljust(4, b"\0"))
            size = (width, height)
            kept.append(data[begun:at])
        elif kind == APP1 and not exif and data.startswith(EXIF, end + 2):
            exif = data[end + 2 : at]
        elif kind in (APP0, APP14) or not (APP0 <= kind < APP0 + 16 or kind == COMMENT):
            kept.append(data[begun:at])
    else:
        raise ValueError(f"it has more than {MOST_SEGMENTS} segments; save it anew")
    if not scans or not any(size):
        raise ValueError("it is cut short before its picture begins")
    return PictureFile("JPEG", *size, b"".join((*kept, data[first_scan:])), exif)


def orientation_of(exif: bytes) -> int:
    """How a picture is turned, 1 to 8; 1, upright, where its EXIF does not say it in a way that can be read."""
    tiff = exif.removeprefix(EXIF)
    order: Literal["little", "big"] = "little" if tiff[:2] == b"II" else "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(tiff[at : at + size], order)

    if tiff[:2] not in (b"II", b"MM") or number(2, 2) != 42:
        return 1
    begin = number(4, 4)
    for entry in range(begin + 2, min(begin + 2 + 12 * number(begin, 2), len(tiff)), 12):
        if number(entry, 2) == ORIENTATION and number(entry + 2, 2) == 3:  # a number of 16 bits
            return turned if 1 <= (turned := number(entry + 8, 2)) <= 8 else 1
    return 1
