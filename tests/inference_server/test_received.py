"""Bodies that cost the event loop more than they cost to send are refused at once, and honest large ones are not."""

from __future__ import annotations

import base64
import time

import httpx2
import pytest

from inference_server.rest.forms import FormError, picture_in
from inference_server.rest.received import MOST_VALUES, parsed
from tests.inference_server.conftest import png

FORM, JSON = "multipart/form-data; boundary=b", "application/json"
PART, LINE = b"\r\n--b\r\n\r\n", b"a:b\r\n"
FEW_SECONDS = 0.5
"""Of processor; without limits the cheapest of these takes 1.5 s, the dearest 12 s."""
COSTLY = {
    "parts": (FORM, PART * (2**24 // len(PART))),
    "head": (FORM, b"--b\r\n" + LINE * (2**22 // len(LINE)) + b"\r\nx"),
    "objects": (JSON, b"[" + b'{"a":{}},' * (2**24 // 9) + b"1]"),
    "numbers": (JSON, b"[" + b"1," * 2**24 + b"1]"),
}


@pytest.mark.parametrize("name", COSTLY)
def test_a_costly_body_is_refused_at_once(name: str) -> None:
    begun = time.process_time()
    with pytest.raises(FormError, match="has no picture"):
        picture_in(*COSTLY[name])
    assert time.process_time() - begun < FEW_SECONDS


def test_values_are_counted_and_texts_are_not() -> None:
    assert len(parsed(b"[" + b"1," * (MOST_VALUES - 2) + b"1]")) == MOST_VALUES - 1
    with pytest.raises(ValueError, match=f"more than {MOST_VALUES:,} values"):
        parsed(b"[" + b"1," * MOST_VALUES + b"1]")
    with pytest.raises(ValueError, match="nested too deeply"):
        parsed(b"[" * 50_000 + b"]" * 50_000)
    assert len(parsed(b'"' + b"A" * 2**24 + b'"')) == 2**24


def test_a_picture_may_stand_behind_other_parts() -> None:
    picture = png("red")
    others = b"".join(b'--b\r\nContent-Disposition: form-data; name="n%d"\r\n\r\n%d\r\n' % (n, n) for n in range(14))
    part = b'--b\r\nContent-Disposition: form-data; name="picture"\r\n\r\n' + picture + b"\r\n--b--\r\n"
    assert picture_in(FORM, others + part) == picture
    assert picture_in(JSON, b'{"picture": "' + base64.b64encode(picture) + b'"}') == picture


def test_both_doors_say_that_a_body_has_too_many_values(http: httpx2.Client) -> None:
    body = b'{"inputs": [{"data": [' + b"1," * MOST_VALUES + b"1]}]}"
    name = http.get("/v1/model").json()["name"]
    refused = http.post(f"/v2/models/{name}/infer", content=body, headers={"Content-Type": JSON})
    assert refused.status_code == 422 and "has more than 65,536 values" in refused.json()["error"]
    assert http.post("/v1/predictions", content=body, headers={"Content-Type": JSON}).status_code == 422
