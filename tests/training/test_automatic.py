from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.automatic import recipe_for
from training.data import Split, load_split


def split_of(count: int, side: int, classes: int = 4) -> Split:
    pictures = [np.full((side, side + 10, 3), i % 256, np.uint8) for i in range(count)]
    return Split(tuple(map(str, range(classes))), pictures, np.arange(count) % classes)


@pytest.mark.parametrize(
    ("count", "side", "picture"),
    [(100, 20, 32), (100, 40, 32), (100, 64, 64), (100, 500, 64), (1200, 127, 64), (1200, 130, 128), (1200, 33, 32)],
)
def test_the_picture_is_no_larger_than_the_pictures_are(count: int, side: int, picture: int) -> None:
    assert recipe_for(split_of(count, side), "own", pretrained=True).picture == picture


def test_few_pictures_are_seen_more_often_and_many_classes_get_more_bits() -> None:
    few, many = (recipe_for(split_of(n, 32, c), "own", pretrained=False) for n, c in ((100, 4), (3000, 100)))
    assert few.stage1.epochs > many.stage1.epochs and few.batch < many.batch
    assert few.network.latent_channels < many.network.latent_channels
    assert few.network.weights == "random" and few.teacher is None
    assert recipe_for(split_of(4000, 32), "own", pretrained=True).teacher is not None


def test_epochs_and_minutes_are_what_was_asked_for() -> None:
    found = recipe_for(split_of(100, 32), "own", pretrained=False, epochs=5, minutes=3)
    assert (found.stage1.epochs, found.stage3.epochs) == (5, 2)
    assert (found.stage1.minutes, found.stage3.minutes) == (1.5, 1.5)


def test_another_picture_makes_another_recipe(tmp_path: Path) -> None:
    for i in range(40):
        path = tmp_path / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (40, 40)).save(path)
    before = recipe_for(load_split(str(tmp_path), "train"), "My Pictures!", pretrained=False)
    assert before.name == "my-pictures"
    for i in range(40, 60):
        Image.new("RGB", (40, 40)).save(tmp_path / "a" / f"{i}.png")
    after = recipe_for(load_split(str(tmp_path), "train"), "My Pictures!", pretrained=False)
    assert before.key() != after.key() and before.stage1_key() != after.stage1_key()
