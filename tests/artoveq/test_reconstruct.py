"""`artoveq reconstruct`, and a reconstruction asked of a classifier."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from artoveq.cli import app
from tests import tiny
from tests.inference_server.serving import Running, serving
from wire.exceptions import ArtoveqError, UsageError
from wire.pictures import read_picture


@pytest.fixture(scope="module")
def reconstructing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tiny.reconstruction(tmp_path_factory.mktemp("models") / "reconstruction").folder) as server:
        yield server


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A grey one and a gradient, larger than the encoder's input."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (64, 64), (100, 100, 100)).save(folder / "grey.png")
    slope = np.linspace(0, 255, 64).astype(np.uint8)
    Image.fromarray(np.repeat(np.tile(slope, (64, 1))[..., None], 3, 2)).save(folder / "slope.webp", lossless=True)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    return folder


def test_pictures_come_back_as_files(reconstructing: Running, pictures: Path, tmp_path: Path) -> None:
    into = tmp_path / "out"
    command = ["reconstruct", str(pictures), "--server", reconstructing.address, "--into", str(into), "--json"]
    ran = CliRunner().invoke(app, [*command, "--bytes", "60", "--budget", "5s"])
    assert ran.exit_code == 1  # one cannot be read, and the others are answered
    broken, grey, slope = (json.loads(line) for line in ran.stdout.splitlines())
    assert "broken.jpg" in broken["picture"] and "error" in broken
    assert (grey["point"], grey["payload_bytes"], grey["png"]) == (4, 54, str(into / "grey.png"))
    assert np.abs(read_picture(into / "grey.png").astype(int) - 100).max() <= 5
    found = read_picture(slope["png"])
    assert found.shape == (32, 32, 3) and (np.diff(found[0, ::4, 0].astype(int)) > 20).all()


def test_two_pictures_of_one_name_are_not_written_over_each_other(pictures: Path) -> None:
    (pictures / "grey.jpg").write_bytes((pictures / "grey.png").read_bytes())
    with pytest.raises(UsageError, match=r"grey\.jpg and .*grey\.png would both be reconstructed/grey\.png"):
        CliRunner().invoke(app, ["reconstruct", str(pictures)], catch_exceptions=False)


def test_a_reconstruction_asked_of_a_classifier_and_the_reverse(
    reconstructing: Running, pictures: Path, tmp_path: Path
) -> None:
    picture = str(pictures / "grey.png")

    def said(command: str, server: Running) -> str:
        with pytest.raises(ArtoveqError) as caught:
            CliRunner().invoke(app, [command, picture, "--server", server.address], catch_exceptions=False)
        return str(caught.value)

    assert said("classify", reconstructing) == "tiny-reconstruction names no classes; use `artoveq reconstruct`."
    with serving(tiny.nested(tmp_path / "nested").folder) as classifying:
        assert said("reconstruct", classifying) == (
            "tiny-nested answers by classification, not with a picture; ask a server whose model reconstructs, or use "
            "`artoveq classify`."
        )
