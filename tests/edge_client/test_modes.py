"""What a caller may ask for, and what a wrong argument is told."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edge_client import File, OneShot, Progressive
from edge_client.modes import picture_of, point_for, seconds_of, top_k_of
from tests.conftest import PICTURES
from tests.edge_client.models import shipped_like
from wire.exceptions import PictureError, PointError, UsageError
from wire.pictures import read_picture

DINGO = PICTURES / "dingo.png"


@pytest.mark.parametrize(
    "make",
    [
        lambda: OneShot(point=-1),
        lambda: OneShot(point=True),
        lambda: OneShot(point="4"),  # type: ignore[arg-type]
        lambda: Progressive(point=1.5),  # type: ignore[arg-type]
        lambda: Progressive(min_confidence=1.01),
        lambda: Progressive(min_confidence="sure"),  # type: ignore[arg-type]
        lambda: File(side=32),
        lambda: File(quality=50),
        lambda: File(side=0, quality=50),
        lambda: File(side=32, quality=101),
    ],
)
def test_a_mode_that_is_none_gets_a_sentence(make: Any) -> None:
    with pytest.raises(UsageError, match=r"\.$"):
        make()


@pytest.mark.parametrize(
    ("given", "seconds"), [(0.05, 0.05), (1, 1.0), ("50ms", 0.05), (" 0.2 s ", 0.2), ("500us", 5e-4)]
)
def test_a_budget_is_seconds_or_text(given: float | str, seconds: float) -> None:
    assert seconds_of(given) == pytest.approx(seconds)


@pytest.mark.parametrize("wrong", ["50 m", "ms", "", "-1s", 0, -1.0, float("nan"), float("inf"), None, True, b"50ms"])
def test_what_is_no_time_gets_a_sentence(wrong: Any) -> None:
    with pytest.raises(UsageError, match="is not a time above 0"):
        seconds_of(wrong)


def test_a_time_as_text_has_a_unit() -> None:
    with pytest.raises(UsageError, match="'50' has no unit; write '50ms' or '50s'"):
        seconds_of("50")


@given(st.text(max_size=12))
def test_no_text_is_taken_for_a_wrong_time(text: str) -> None:
    try:
        assert seconds_of(text) > 0
    except UsageError as error:
        assert "; write " in str(error)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "2", True, None])
def test_how_many_classes_is_a_number_from_1(wrong: Any) -> None:
    with pytest.raises(UsageError, match="top_k"):
        top_k_of(wrong)


def test_a_picture_is_whatever_a_caller_has() -> None:
    as_array = read_picture(DINGO)
    with Image.open(DINGO) as image:
        for source in (DINGO, str(DINGO), DINGO.read_bytes(), bytearray(DINGO.read_bytes()), image, as_array):
            assert np.array_equal(picture_of(source), as_array)


@pytest.mark.parametrize(
    "wrong", [None, 7, [1, 2], np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)]
)
def test_what_is_no_picture_gets_a_sentence(wrong: Any) -> None:
    with pytest.raises(UsageError, match="A picture"):
        picture_of(wrong)


def test_a_damaged_picture_gets_a_sentence(tmp_path: Path) -> None:
    cut = DINGO.read_bytes()[:2000]
    with pytest.raises(PictureError):
        picture_of(cut)
    with Image.open(io.BytesIO(cut)) as image, pytest.raises(PictureError, match="damaged or cut short"):
        picture_of(image)
    with pytest.raises(PictureError, match="cannot be read"):
        picture_of(str(tmp_path / "gone.png"))


def test_a_point_is_named_in_one_of_three_ways(caplog: pytest.LogCaptureFixture) -> None:
    manifest = shipped_like()
    assert point_for(manifest, point=7) == 7
    assert manifest.point(point_for(manifest, level=2)).payload_bytes == 128
    assert manifest.point(point_for(manifest, max_bytes=107)).payload_bytes == 104
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        assert point_for(manifest, max_bytes=3) == 1
    assert "takes 8 bytes, more than 3; it is sent" in caplog.text
    with pytest.raises(PointError, match="has no local head"):
        point_for(manifest, point=0)
    for wrong in ({"point": 65}, {"point": -1}, {"level": 9}):
        with pytest.raises(PointError, match="does not exist"):
            point_for(manifest, **wrong)
    for ways in ({}, {"point": 1, "level": 1}):
        with pytest.raises(UsageError, match="in one way"):
            point_for(manifest, **ways)
