"""Pictures of one's own: trained, served and classified by the three commands in docs/train.md."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from artoveq.processes import server_process

pytestmark = pytest.mark.training
CLASSES = ("discs", "rings", "squares", "stripes")
SIDE = 96


def draw(kind: str, random: np.random.Generator) -> Image.Image:
    """A bright shape of one kind, anywhere, on a dark mottled ground."""
    picture = Image.fromarray(random.integers(0, 90, (12, 12, 3), dtype=np.uint8)).resize((SIDE, SIDE))
    pen, colour = ImageDraw.Draw(picture), tuple(int(v) for v in random.integers(140, 256, 3))
    (x, y), size = (int(v) for v in random.integers(8, 30, 2)), int(random.integers(36, 58))
    box = (x, y, x + size, y + size)
    if kind == "discs":
        pen.ellipse(box, fill=colour)
    elif kind == "rings":
        pen.ellipse(box, outline=colour, width=5)
    elif kind == "squares":
        pen.rectangle(box, fill=colour)
    else:
        for offset in range(0, size, 12):
            pen.line((x, y + offset, x + size, y + offset), fill=colour, width=4)
    return picture


@pytest.mark.timeout(900)
def test_a_folder_of_pictures_becomes_a_served_model(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for kind in CLASSES:
        (tmp_path / "shapes" / kind).mkdir(parents=True)
        for i in range(30):
            draw(kind, random).save(tmp_path / "shapes" / kind / f"{i:02}.png")
    artoveq = [sys.executable, "-m", "artoveq"]
    # One thread: two of them crawl where another process wants a core.
    single = {**os.environ, "OMP_NUM_THREADS": "1"}
    training = [*artoveq, "train", "--data", "shapes", "--epochs", "16"]
    done = subprocess.run(training, cwd=tmp_path, env=single, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "120 pictures" not in done.stderr and "4 classes" in done.stderr  # some are kept for the test
    said = " ".join(done.stderr.split())
    assert "test pictures; figures from so few" in said and re.search(r"epoch 1/\d+, loss [\d.]+, held out, top1", said)
    assert "Serve it with: artoveq serve --model models/shapes" in done.stdout
    assert "Then ask it with: artoveq classify PICTURE --server localhost:50051" in done.stdout
    assert "<title>shapes</title>" in (tmp_path / "models" / "shapes.html").read_text()
    assert re.search(r"│ 1 +│ [\d ]+│ \d+ +│ \d+\.\d% +│", done.stdout)

    model = tmp_path / "models" / "shapes"
    manifest = json.loads((model / "manifest.json").read_text())
    assert manifest["task"]["classes"] == list(CLASSES)
    assert manifest["points"][-1]["metric"] > 0.8
    fresh = tmp_path / "new"
    fresh.mkdir()
    for kind in CLASSES:
        draw(kind, random).resize((200, 150)).save(fresh / f"{kind}.jpg")
    with server_process(model) as server:
        command = [*artoveq, "classify", str(fresh), "--server", server.address, "--json", "--budget", "5s"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    answers = {Path(r["picture"]).stem: r["class"] for r in map(json.loads, done.stdout.splitlines())}
    assert sum(kind == found for kind, found in answers.items()) >= 3, answers
