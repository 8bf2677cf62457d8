import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.conftest import PICTURES
from wire.exceptions import PictureError
from wire.pictures import fit_picture, read_picture

RED_GREEN = np.zeros((20, 30, 3), np.uint8)
RED_GREEN[:, :15, 0] = RED_GREEN[:, 15:, 1] = 255


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_a_text_file_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("not a picture")
    with pytest.raises(PictureError, match=r"notes\.jpg: is not a picture"):
        read_picture(tmp_path / "notes.jpg")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="cannot be read"):
        read_picture(tmp_path / "gone.jpg")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP"])
def test_a_truncated_picture(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    with pytest.raises(PictureError, match=r"is damaged or cut short|is not a picture"):
        read_picture(data[: len(data) // 2])


def test_of_an_animation_the_first_frame_is_taken() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for kind in ("WebP", "PNG"):
        data = encoded(
            frames[0], kind, save_all=True, append_images=frames[1:], **({"lossless": True} if kind == "WebP" else {})
        )
        assert np.array_equal(read_picture(data)[0, 0], [255, 0, 0])


def test_16_bits_are_scaled_to_8() -> None:
    samples = np.array([[0, 257 * 100, 65535]], np.uint16)
    picture = read_picture(encoded(Image.fromarray(samples), "PNG"))
    assert np.array_equal(picture, np.repeat(np.array([[[0], [100], [255]]], np.uint8), 3, axis=2))


def test_cmyk_becomes_rgb() -> None:
    data = encoded(Image.fromarray(RED_GREEN).convert("CMYK"), "JPEG", quality=95)
    assert abs(read_picture(data).astype(int) - RED_GREEN)[:, 2:10].max() < 40


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(RED_GREEN)
    data = encoded(image, kind, exif=exif, **({"lossless": True} if kind == "WebP" else {}))
    turned = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert np.array_equal(read_picture(data), turned)
    assert read_picture(data).shape == ((20, 30, 3) if orientation < 5 else (30, 20, 3))


def test_transparency_is_laid_on_white() -> None:
    assert np.array_equal(read_picture(PICTURES / "dog.png")[0, 0], [255, 255, 255])


def test_one_pixel_is_a_picture() -> None:
    picture = read_picture(encoded(Image.new("RGB", (1, 1), (9, 8, 7)), "PNG"))
    assert (fit_picture(picture, 64) == [9, 8, 7]).all()


def test_a_large_picture_is_read_where_the_limit_allows_it() -> None:
    data = encoded(Image.new("L", (4096, 3073)), "PNG")
    with pytest.raises(PictureError, match="4096×3073 pixels are more than the limit of 12,582,912; scale"):
        read_picture(data)
    assert read_picture(data, max_pixels=13_000_000).shape == (3073, 4096, 3)


@pytest.mark.parametrize("shape", [(64, 64), (10, 500), (500, 10), (63, 65)])
def test_fitted_pictures_have_the_size_asked_for(shape: tuple[int, int]) -> None:
    assert fit_picture(np.full((*shape, 3), 7, np.uint8), 64).shape == (64, 64, 3)
