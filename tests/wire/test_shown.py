from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.shown import shown, without_secrets


@given(st.text(), st.integers(2, 50))
def test_what_is_shown_is_one_line_of_signs(text: str, most: int) -> None:
    line = shown(text, most)
    assert len(line) <= most and "\x1b" not in line and len(line.splitlines()) <= 1


def test_signs_of_every_script_stay_as_they_are() -> None:
    for text in ("Straße 12", "北门", "بوابة", "café 🚪"):
        assert shown(text) == text
    assert shown("a\x1b[2Jb\rc\nd\u202ee\x9bf") == "a\ufffd[2Jb c d\ufffde\ufffdf"
    assert shown("long " * 10, 7) == "long l…"


@pytest.mark.parametrize(
    ("address", "left"),
    [
        ("http://user:secret@host:80/path", "http://…@host:80/path"),
        ("rtsp://camera/stream?user=a&password=secret", "rtsp://camera/stream?…"),
        ("mqtts://a:se/cret@host/topic", "mqtts://…@host/topic"),
        ("htp//a:secret@host", "htp//…@host"),
        ("a:secret@host:50051", "…@host:50051"),
        ("http://a:sec@ret@host", "http://…@host"),
        ("No server answers at http://a:secret@host (b:secret@host).", "No server answers at http://…@host …@host)."),
        ("localhost:50051", "localhost:50051"),
        ("write to somebody@example.com: http://host/", "write to somebody@example.com: http://host/"),
    ],
)
def test_what_is_secret_in_an_address_is_not_shown(address: str, left: str) -> None:
    assert without_secrets(address) == left and "secret" not in left
