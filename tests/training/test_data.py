from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from training.data import IMAGEWOOF_BREEDS, Resident, hold_out, load_split
from wire.exceptions import DataError
from wire.pictures import fit_picture


def save(path: Path, colour: str = "red", size: tuple[int, int] = (20, 20)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.mark.parametrize("spec", ["pictures", "folder:", "zip:x"])
def test_a_spec_of_another_form(spec: str) -> None:
    with pytest.raises(DataError, match="not of the form KIND:DIR"):
        load_split(spec, "train")


def test_folders_that_cannot_be_trained_on(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        load_split(f"folder:{tmp_path / 'gone'}", "train")
    with pytest.raises(DataError, match=r"has 0 class folder\(s\)"):
        load_split(f"folder:{tmp_path}", "train")
    save(tmp_path / "cats" / "1.png")
    with pytest.raises(DataError, match=r"has 1 class folder\(s\)"):
        load_split(f"folder:{tmp_path}", "train")
    (tmp_path / "dogs").mkdir()
    with pytest.raises(DataError, match="dogs has no pictures"):
        load_split(f"folder:{tmp_path}", "train")


def test_a_plain_folder_is_split_the_same_way_every_time(tmp_path: Path) -> None:
    for i in range(40):
        save(tmp_path / "ab"[i % 2] / f"{i}.png")
    train, test = (load_split(f"folder:{tmp_path}", split) for split in ("train", "test"))
    assert len(train) + len(test) == 40 and 2 <= len(test) <= 16
    assert not set(map(str, train.sources)) & set(map(str, test.sources))
    assert load_split(f"folder:{tmp_path}", "test").sources == test.sources


def test_imagewoof_has_breeds_for_classes(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for wnid in IMAGEWOOF_BREEDS:
            save(tmp_path / split / wnid / "1.png")
    assert load_split(f"imagewoof:{tmp_path}", "test").classes == tuple(IMAGEWOOF_BREEDS.values())


def test_held_out_pictures_are_not_trained_on(tmp_path: Path) -> None:
    for i in range(40):
        save(tmp_path / "train" / "ab"[i % 2] / f"{i}.png")
        save(tmp_path / "test" / "ab"[i % 2] / f"{i}.png")
    kept, held = hold_out(load_split(f"folder:{tmp_path}", "train"), 10, seed=0)
    assert (len(kept), len(held)) == (36, 4)
    assert not set(map(str, kept.sources)) & set(map(str, held.sources))


def test_views_undo_the_squashing(tmp_path: Path) -> None:
    """The plain view is the centre crop that the edge sees, whatever the picture's shape."""
    gradient = np.linspace(0, 255, 120)[None, :, None].repeat(60, 0).repeat(3, 2).astype(np.uint8)
    for name, picture in (("a", gradient), ("b", gradient.transpose(1, 0, 2))):
        for split in ("train", "test"):
            (tmp_path / split / name).mkdir(parents=True)
            Image.fromarray(picture).save(tmp_path / split / name / "1.png")
    split = load_split(f"folder:{tmp_path}", "train")
    data = Resident.load(split, 80, torch.device("cpu"))
    views = data.views(torch.arange(2), 32, None)
    for i in range(2):
        expected = fit_picture(split.picture(i), 32).transpose(2, 0, 1) / 255
        assert abs(views[i].numpy() - expected).max() < 0.03
    torch.manual_seed(0)
    assert data.views(torch.arange(2), 32, (0.5, 1.0)).shape == (2, 3, 32, 32)


def test_a_damaged_picture_is_named_counted_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(6):
        save(tmp_path / "train" / "ab"[i % 2] / f"{i}.png", size=(60, 60))
        save(tmp_path / "test" / "ab"[i % 2] / f"{i}.png")
    whole = load_split(str(tmp_path), "train")
    damaged, empty = tmp_path / "train" / "a" / "2.png", tmp_path / "train" / "b" / "3.png"
    damaged.write_bytes(damaged.read_bytes()[:90])
    empty.write_bytes(b"")
    left = load_split(str(tmp_path), "train")
    assert left.sources == [path for path in whole.sources if path not in (damaged, empty)]
    assert left.labels.tolist() == [0, 0, 1, 1]
    said = " ".join(capsys.readouterr().err.split())
    assert "2.png" in said and "3.png" in said and "left out: 2 of 6 pictures" in said
    with pytest.raises(DataError, match=r"2\.png: is damaged .*Remove or replace it"):
        load_split(str(tmp_path), "train", strict=True)
    for path in (tmp_path / "train" / "a").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="A class has no picture that can be read"):
        load_split(str(tmp_path), "train")
