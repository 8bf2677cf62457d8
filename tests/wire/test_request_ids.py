from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wire.request_ids import REQUEST_ID, new_request_id, request_id_of


@given(st.text())
def test_a_request_id_is_the_callers_or_a_new_one_and_never_breaks_a_log(sent: str) -> None:
    found = request_id_of({REQUEST_ID: sent})
    assert found.isascii() and found.isprintable() and 1 <= len(found) <= 64
    assert " " not in found
    if sent and all(c.isascii() and (c.isalnum() or c in "-._") for c in sent) and len(sent) <= 64:
        assert found == sent


def test_new_request_ids_differ() -> None:
    assert len({new_request_id() for _ in range(1000)}) == 1000
