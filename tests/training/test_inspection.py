"""What is said of pictures before a training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.data import Split, load_split
from training.inspection import FEW_A_CLASS, FEW_TO_TEST, findings
from training.processes import joined
from wire.exceptions import TrainingError


def split_of(counts: list[int], first: int = 0) -> Split:
    pictures = [np.full((4, 4, 3), (*divmod(first + i, 256), 0), np.uint8) for i in range(sum(counts))]
    return Split(tuple("abcdef"[: len(counts)]), pictures, np.repeat(np.arange(len(counts)), counts))


def test_enough_pictures_need_no_word() -> None:
    assert findings(split_of([FEW_A_CLASS] * 3), split_of([FEW_TO_TEST // 2] * 2, first=9999)) == []


def test_few_pictures_are_told_class_by_class() -> None:
    found = findings(split_of([60, 7, 30, 2, 9]), split_of([3, 3], first=9999))
    assert found == [
        "Of the training pictures d has 2, b has 7, e has 9, and 1 more classes have few; bring 50 of each class or "
        "more, or expect little.",
        "There are 6 test pictures; figures from so few are off by several points, bring 100 or more.",
    ]


def test_a_picture_in_both_splits_is_named(tmp_path: Path) -> None:
    for split, count in (("train", 60), ("test", 60)):
        for name in ("cats", "dogs"):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(count):
                shade = (i, len(split) * 10, len(name) + ord(name[0]) % 7)
                Image.new("RGB", (8, 8), shade).save(tmp_path / split / name / f"{i:02}.png")
    train, test = (load_split(str(tmp_path), part) for part in ("train", "test"))
    assert findings(train, test) == []
    (tmp_path / "test" / "dogs" / "again.png").write_bytes((tmp_path / "train" / "cats" / "05.png").read_bytes())
    (found,) = findings(train, load_split(str(tmp_path), "test"))
    assert found == (
        "1 of the test pictures are training pictures, too (dogs/again.png is cats/05.png); take them out of one of "
        "the two, or figures are too good."
    )


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "cuda:x", ""])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(TrainingError, match=r"There is no device .* here; name one of .*cpu"), joined(device):
        pass


def test_a_device_that_is_there_is_taken() -> None:
    with joined("cpu") as device:
        assert device.type == "cpu"
