"""proto/vectors, from a picture's file to its indices. `python -m tests.wire.test_picture_vectors` writes them."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
from PIL import Image

from edge_client.encoder import Encoder
from tests.conftest import MODEL, NESTED, PICTURES, ROOT
from tests.wire.test_vectors import VECTORS
from wire.artifact import load_artifact
from wire.entropy import LEAST, UNIT, EntropyCoder
from wire.picture_files import ORIENTATION
from wire.pictures import fit_picture, read_picture

SIZE = 8
STRINGS = 60
"""Of the coder's vectors; some have carries through words that are held, some end with a zero."""


def waves(height: int, width: int, channels: int) -> np.ndarray:
    """A smooth picture with a little noise, (height, width, channels)."""
    y, x, c = np.ogrid[:height, :width, :channels]
    smooth = 128 + 90 * np.sin(x / 3 + c) * np.cos(y / 4 - c)
    return (smooth + np.random.default_rng(4).integers(-30, 31, smooth.shape)).clip(0, 255).astype(np.uint8)


def png(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return png(Image.fromarray(waves(7, 11, 3)), exif=exif)


def pictures() -> list[dict[str, Any]]:
    """Files, what they are as RGB, and as the input of an encoder."""
    palette = Image.fromarray(waves(12, 9, 3)).quantize(6)
    files = {
        "wide, scaled down": png(Image.fromarray(waves(19, 46, 3))),
        "tall, scaled down a little": png(Image.fromarray(waves(31, 9, 3))),
        "scaled up": png(Image.fromarray(waves(5, 6, 3))),
        "of the encoder's size": png(Image.fromarray(waves(SIZE, SIZE, 3))),
        "one column": png(Image.fromarray(waves(40, 1, 3))),
        "grey": png(Image.fromarray(waves(12, 13, 1)[..., 0])),
        "grey of 16 bits": png(Image.fromarray(waves(12, 13, 1)[..., 0].astype(np.uint16) * 251 + 77)),
        "transparent": png(Image.fromarray(waves(14, 12, 4))),
        "grey, transparent": png(Image.fromarray(waves(12, 13, 2))),
        "palette, one colour transparent": png(palette, transparency=2),
        **{f"EXIF orientation {turn}": turned(turn) for turn in range(2, 9)},
    }
    found = []
    for name, file in files.items():
        picture = read_picture(file)
        shape = {"height": picture.shape[0], "width": picture.shape[1], "size": SIZE}
        fitted = fit_picture(picture, SIZE).tobytes().hex()
        found.append({"name": name, "file": file.hex(), **shape, "rgb": picture.tobytes().hex(), "input": fitted})
    return found


def strings() -> list[dict[str, Any]]:
    """Bits with the odds of a one, and the string that they make."""
    random, found = np.random.default_rng(7), []
    for n in range(STRINGS):
        odds = random.integers(LEAST, UNIT - LEAST, 400 if n == 0 else random.integers(1, 60), np.uint16)
        bits = random.random(len(odds)) < odds / UNIT
        coder = EntropyCoder(np.repeat(odds[None, :, None], 255, 2), len(odds))  # a channel group for each bit
        where = np.arange(len(odds))
        coded = coder.encode(bits.astype(np.int32), where, np.ones_like(where), np.zeros_like(where), 0)
        found.append({"bits": "".join(map(str, bits.astype(int))), "odds": odds.tolist(), "coded": coded.hex()})
    return found


def indices() -> list[dict[str, Any]]:
    """Of a sample picture, by models of the repository."""
    picture, found = PICTURES / "dog.png", []
    for folder, point in ((MODEL, None), (NESTED, 4)):
        encoder = Encoder(load_artifact(folder), threads=1)
        point = point or encoder.finest
        made = encoder.encode(read_picture(picture), point)
        data, packed = encoder.codec.write_block(made, point)
        names = {"model": str(folder.relative_to(ROOT)), "picture": str(picture.relative_to(ROOT)), "point": point}
        found.append({**names, "indices": made.tolist(), "packed" if packed else "coded": data.hex()})
    return found


def test_pictures_are_read_and_fitted_as_they_were() -> None:
    assert json.loads((VECTORS / "pictures.json").read_text()) == pictures()


def test_strings_are_as_they_were() -> None:
    assert json.loads((VECTORS / "coder.json").read_text()) == strings()


def test_indices_are_as_they_were_but_for_what_a_processor_rounds() -> None:
    for ours, theirs in zip(indices(), json.loads((VECTORS / "indices.json").read_text()), strict=True):
        assert np.mean(np.array(ours["indices"]) != theirs["indices"]) < 0.005


if __name__ == "__main__":
    for file, content in (("pictures", pictures()), ("coder", strings()), ("indices", indices())):
        lines = ",\n".join(" " + json.dumps(one) for one in content)
        (VECTORS / f"{file}.json").write_text(f"[\n{lines}\n]\n")
