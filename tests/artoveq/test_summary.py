"""What a watch says of itself."""

from __future__ import annotations

import logging

import pytest

from artoveq.watch.summary import EVERY_S, Summary


def answered(latency_ms: float, *, met: bool = True) -> dict[str, object]:
    return {"deadline_met": met, "payload_bytes": 100, "latency_ms": latency_ms}


def test_a_line_each_minute_and_one_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now = 0.0
    summary = Summary(lambda: now)
    summary.send(answered(10))
    summary.send(answered(30, met=False))
    assert not caplog.records
    now = EVERY_S
    summary.send({"error": "No server answers."})
    summary.send({"kept": True, "reason": "dark"})
    summary.send({"kept": True, "reason": "dark", "local": True})
    summary.send(answered(20) | {"local": True, "payload_bytes": 40})
    now += 5
    summary.close()
    assert [record.getMessage() for record in caplog.records] == [
        "The last 60 s: 2 answered, 1 of them in time; 1 failed; 100 bytes and 20 ms a picture.",
        "In 65 s: 3 answered, 2 of them in time; 1 failed; 2 kept; 2 by the edge alone; 80 bytes and 20 ms a picture.",
    ]
