from __future__ import annotations

import logging

from inference_server.caller_logs import AtMost


def record(at: float) -> logging.LogRecord:
    made = logging.LogRecord("refusals", logging.INFO, "", 0, "A call failed: %s", ("why",), None)
    made.created = at
    return made


def test_only_so_many_refusals_of_a_minute_are_logged_and_the_others_counted() -> None:
    limit = AtMost(most=2, period_s=60)
    assert [limit.filter(record(100 + i)) for i in range(5)] == [True, True, False, False, False]
    later = record(160)
    assert limit.filter(later) and later.getMessage() == "A call failed: why (3 more like it before this one.)"
    last = record(161)
    assert limit.filter(last) and last.getMessage() == "A call failed: why"
