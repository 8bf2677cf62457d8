"""The report of a training: what is in it, and that it needs nothing else."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import numpy as np
import pytest

from artoveq.report import confused, misses, report
from tests import tiny
from training.data import Split
from wire.artifact import Artifact

COLOURS = list(tiny.CLASSES)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tiny.progressive(tmp_path_factory.mktemp("report") / "colours", local=True)


def split_of(wrong: int = 0) -> Split:
    """Five pictures of each colour, of which the first few are labelled as the next colour."""
    labels = np.repeat(np.arange(len(COLOURS)), 5)
    pictures = [tiny.picture(COLOURS[label]) for label in labels]
    labels[:wrong] = (labels[:wrong] + 1) % len(COLOURS)
    return Split(tuple(COLOURS), pictures, labels)


def test_all_that_matters_is_on_one_page(artifact: Artifact) -> None:
    page = report(artifact, split_of(wrong=3))
    assert "<title>tiny-colours</title>" in page and "Measured on 20 test pictures" in page
    assert "85.0 % of the answers are right" in page
    assert "<td>red</td><td>black</td>" in page and 'class="n">3</td>' in page
    assert "Without a byte 60.0 %" in page and "of the half that it is" in page
    assert page.count("<li>") == 3 and page.count("said: black") == 3
    drawn = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert len(drawn) == 3 and all(b"<svg" in base64.b64decode(one) for one in drawn)
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert page.count("<h2>") == 5 and "<td>point 0, the edge alone</td>" in page
    assert "<td>the whole network on the edge</td>" in page


def test_a_model_that_is_always_right_has_no_misses(artifact: Artifact) -> None:
    page = report(artifact, split_of())
    assert "100.0 %" in page and "Nothing: all answers are right." in page and "<li>" not in page


def test_misses_say_what_is_shown_and_what_was_said() -> None:
    split = split_of(wrong=2)
    found = misses(np.eye(4, dtype=np.float32)[np.repeat(np.arange(4), 5)], split)
    assert [(miss.shows, miss.said, miss.of_truth, miss.of_said) for miss in found] == [("red", "black", 0.0, 1.0)] * 2
    assert found[0].picture.startswith("data:image/jpeg;base64,")


def test_an_answer_of_another_kind_has_its_curve(tmp_path: Path) -> None:
    artifact = tiny.reconstruction(tmp_path / "again")
    page = report(artifact, Split(("none",), [np.zeros((32, 32, 3), np.uint8)], np.zeros(1, np.int64)))
    assert page.count("<h2>") == 1 and "psnr" in page


def test_confusions_are_counted_and_the_likeliest_come_first() -> None:
    counts = np.array([[5, 1, 0], [4, 3, 0], [0, 2, 9]])
    assert confused(counts, ("a", "b", "c")) == [("b", "a", 4, 7), ("c", "b", 2, 11), ("a", "b", 1, 6)]
