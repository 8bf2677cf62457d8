"""What `wire.pictures.memory_bytes` promises, measured in a process of its own for each kind of file."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.wire.hostile_pictures import encoded

SIDE = 1024
PEAK = """
import sys
from wire.pictures import fit_picture, open_picture

def memory(kind):
    return 1024 * int(open("/proc/self/status").read().split(kind + ":")[1].split()[0])

open_picture(open("artoveq/demo/pictures/dog.png", "rb").read()).read()  # what is loaded once
data = sys.stdin.buffer.read()
before = memory("VmRSS")
open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew
picture = open_picture(data)
fit_picture(picture.read(), 64)
print(memory("VmHWM") - before, picture.memory_bytes)
"""


def _files() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    rgba = Image.fromarray(rng.integers(0, 255, (SIDE // 16, SIDE // 16, 4), np.uint8)).resize((SIDE, SIDE))
    rgb, grey = rgba.convert("RGB"), np.asarray(rgba.convert("L"), np.uint16) * 257
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "jpeg": encoded(rgb, "JPEG", exif=exif),
        "progressive": encoded(rgb.convert("CMYK"), "JPEG", progressive=True, subsampling=0, exif=exif),
        "png": encoded(rgba, "PNG", compress_level=1, exif=exif),
        "png16": encoded(Image.fromarray(grey), "PNG", compress_level=1, exif=exif),
        "webp": encoded(rgba, "WebP", quality=60, method=0, exif=exif),
        "lossless": encoded(rgba, "WebP", lossless=True, method=0, exif=exif),
    }


@pytest.mark.slow
def test_reading_takes_no_more_memory_than_is_held_for_it() -> None:
    shares = {}
    for kind, data in _files().items():
        ran = subprocess.run([sys.executable, "-c", PEAK], input=data, cwd=ROOT, capture_output=True, check=True)
        peak, held = map(int, ran.stdout.split())
        shares[kind] = peak / held
    assert 0.7 < max(shares.values()) <= 1, shares
