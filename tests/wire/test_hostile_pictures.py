"""What strangers send: each gets a sentence, at less cost than its bytes promise."""

from __future__ import annotations

import contextlib
import io
import os
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from tests.wire.hostile_pictures import (
    encoded,
    exif_of_copies,
    exif_with_orientation,
    jpeg_header,
    jpeg_with,
    noise,
    png_chunk,
    png_header,
    repeated_scan,
    segment,
    webp_header,
)
from wire.exceptions import PictureError
from wire.picture_files import EXIF, MOST_CHUNKS, MOST_SCANS, MOST_SEGMENTS
from wire.pictures import MAX_FILE_BYTES, MAX_PIXELS, from_image, read_picture

HUGE = {
    "WebP": webp_header(7000, 7000),
    "lossless WebP": webp_header(7000, 7000, b"VP8L"),
    "lossy WebP": webp_header(7000, 7000, b"VP8 "),
    "PNG": png_header(20_000, 20_000),
    "wide PNG": png_header(2**31 - 1, 1),
    "JPEG": jpeg_header(65_000, 65_000),
}


@pytest.mark.parametrize("kind", HUGE)
def test_a_huge_picture_is_refused_from_its_header(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its decoder is never asked: WebP's takes 8 bytes a pixel as soon as it is."""
    monkeypatch.setattr(Image, "open", None)
    with pytest.raises(PictureError, match=f"pixels are more than the limit of {MAX_PIXELS:,}; scale the picture down"):
        read_picture(HUGE[kind])


@pytest.mark.parametrize("kind", ["BMP", "GIF", "TIFF", "PPM", "EPS", "AVIF", "DDS", "ICO", "TGA", "JPEG2000"])
def test_other_formats_are_no_pictures(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of Pillow's 43: EPS starts a program, others raise what nobody expects."""
    data = encoded(noise(), kind)
    monkeypatch.setattr(Image, "open", None)
    with pytest.raises(PictureError, match="is not a picture in a format that is read; send JPEG, PNG or WebP"):
        read_picture(data)


def test_a_jpeg_of_two_pictures_is_its_first_one() -> None:
    """As some telephones write them, with a video behind the pictures, too."""
    first, second = noise(), Image.new("RGB", (32, 32), "red")
    data = encoded(first, "MPO", save_all=True, append_images=[second]) + os.urandom(200_000)
    assert np.array_equal(read_picture(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_a_jpeg_has_no_more_scans_than_one_needs() -> None:
    side = 64
    assert read_picture(repeated_scan(side, MOST_SCANS - 10)).shape == (side, side, 3)
    # Whatever stands between the scans, they are all seen.
    for between in (b"", segment(0xFE, b"\xff\xd9"), b"\xff\x01\xff\xff", b"\xff\xd0", b"\0\xff\0"):
        with pytest.raises(PictureError, match="it has more than 32 scans; save it anew"):
            read_picture(repeated_scan(side, 200, between))


def test_a_jpeg_has_no_more_segments_than_one_needs() -> None:
    with pytest.raises(PictureError, match="it has more than 1024 segments; save it anew"):
        read_picture(jpeg_with(segment(0xE5, b"") * MOST_SEGMENTS))
    with pytest.raises(PictureError, match="it has two sizes"):
        read_picture(jpeg_with(segment(0xC0, bytes.fromhex("08000800080101110000"))))


def test_texts_in_a_png_are_not_unpacked() -> None:
    """64 of them, of a kilobyte each, take 62 MiB where they are."""
    file = encoded(noise(), "PNG")
    texts = b"".join(png_chunk(b"zTXt", b"%d\0\0" % i + zlib.compress(bytes(1_000_000), 9)) for i in range(64))
    tracemalloc.start()
    assert np.array_equal(read_picture(file[:33] + texts + file[33:]), read_picture(file))
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()
    with pytest.raises(PictureError, match="it has more than 16384 chunks; save it anew"):
        read_picture(file[:33] + png_chunk(b"teXt", b"") * MOST_CHUNKS + file[33:])


def test_exif_that_names_the_same_bytes_a_thousand_times_costs_nothing() -> None:
    exif = exif_of_copies(1000, 200_000)
    parts = [exif[6:][at : at + 60_000] for at in range(0, len(exif), 60_000)]
    files = {
        "JPEG": jpeg_with(b"".join(segment(0xE1, EXIF + part) for part in parts)),
        "PNG": encoded(noise(), "PNG", exif=exif),
        "WebP": encoded(noise(), "WebP", exif=exif),
    }
    for data in files.values():
        tracemalloc.start()
        assert read_picture(data).shape == (64, 64, 3)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP"])
@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
        exif_with_orientation(3, 1, b"\x09"),  # there are eight
        exif_with_orientation(3, 2**31, b"\xff\xff\xff\xff"),
        exif_with_orientation(2, 8, b"upright"),
        exif_with_orientation(5, 1, b"\0"),  # a fraction, of nothing
    ],
)
def test_absurd_exif_turns_nothing(kind: str, exif: bytes) -> None:
    plain, options = noise(), {"lossless": True} if kind == "WebP" else {}
    data = jpeg_with(segment(0xE1, exif)) if kind == "JPEG" else encoded(plain, kind, exif=exif, **options)
    assert np.array_equal(read_picture(data), read_picture(encoded(plain, kind, **options)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP"])
def test_every_cut_and_every_changed_byte_gets_a_picture_or_a_sentence(kind: str) -> None:
    data = encoded(noise(16), kind, **({"save_all": True, "append_images": [noise(16)]} if kind == "WebP" else {}))
    for cut in range(len(data)):
        with (
            pytest.raises(PictureError, match=r"^dog: .*\.$")
            if cut < len(data) - 24
            else contextlib.suppress(PictureError)
        ):
            read_picture(data[:cut], name="dog")
    changes = np.random.default_rng(1)
    for at in range(0, len(data), 1 + len(data) // 400):
        with contextlib.suppress(PictureError):
            read_picture(data[:at] + bytes([changes.integers(256)]) + data[at + 1 :], max_pixels=100_000)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("the coder is lost"),
        SystemError("an error without an exception"),
        RecursionError("too deep"),
        KeyError(7),
        Image.DecompressionBombError("too many pixels"),
    ],
)
def test_whatever_a_decoder_raises_is_a_sentence(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(image: ImageFile.ImageFile) -> None:
        raise error

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    for kind in ("JPEG", "PNG"):
        with pytest.raises(PictureError, match=r"^dog: (is damaged or cut short \(.+\)|there is no memory to .*)\.$"):
            read_picture(encoded(noise(), kind), name="dog")
    with pytest.raises(PictureError, match="The picture is damaged"):
        from_image(Image.open(io.BytesIO(encoded(noise(), "BMP"))))


def test_a_path_without_an_end_is_no_picture(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    (tmp_path / "folder.jpg").mkdir()
    for name in ("pipe.jpg", "zero.jpg"):
        with pytest.raises(PictureError, match=f"{name}: is not a plain file"):
            read_picture(tmp_path / name)
    with pytest.raises(PictureError, match=r"folder\.jpg: cannot be read \(Is a directory\)"):
        read_picture(tmp_path / "folder.jpg")
    with (tmp_path / "long.jpg").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(PictureError, match="has 67,108,865 bytes, more than the limit of 67,108,864"):
        read_picture(tmp_path / "long.jpg")
