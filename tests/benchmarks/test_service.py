"""The benchmarks of the service, for a moment each: books balance. Rates and memory are the commands' to judge."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from benchmarks.service import crowd, throughput
from benchmarks.service.faults import ENDS, faults
from benchmarks.service.hostile import hostile
from benchmarks.service.wire import wire
from tests.conftest import MODEL
from wire.exceptions import SettingsError


def test_hostile_input_is_refused_and_does_no_harm() -> None:
    found = asyncio.run(hostile(MODEL, 2000, seed=1))
    # So short a run says nothing of memory; the command does, with a hundred times as many.
    assert found["server_alive"] and not found["faults_in_the_log"] and len(found["answers_to_good_pictures"]) == 1
    assert found["statuses"]["INVALID_ARGUMENT"] > 100 and sum(found["failures_by_code"].values()) > 20


def test_streams_that_come_and_go_get_their_own_answers() -> None:
    found = asyncio.run(crowd.soak(MODEL, 1600, 80, seed=1))
    assert found["answered"] + found["hung_up_before_the_answer"] == found["pictures"] == 1600
    assert found["failed"] == found["wrong"] == 0


def test_a_crowd_beside_busy_streams_gets_its_own_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "ROUND_S", 0.5)
    monkeypatch.setattr(crowd, "SLOW_S", 1.0)
    found = asyncio.run(crowd.fleet(MODEL, 100, 100))
    assert found["failed"] == found["wrong"] == 0
    assert found["answered"] > 500 and 0 < found["kib_a_stream"] < 1000


def test_throughput_is_counted_beside_the_bare_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WARM_S": 0.3, "ROUND_S": 0.5, "ROUNDS": 2, "HALF_LOAD_S": 1.0}.items():
        monkeypatch.setattr(throughput, name, value)
    found = asyncio.run(throughput.throughput(MODEL, 16, 8, (1.0,)))
    assert not found["failed"] and 0.1 < found["ratio"] < 1.5
    (queueing,) = found["queueing_at_half_load"]
    assert queueing["pictures_a_second"] > 10 and 0 < queueing["p50_ms"] <= queueing["p99_ms"]


def test_planes_in_bundles_take_little_more_than_their_bytes() -> None:
    try:
        found = wire(MODEL)
    except SettingsError as error:
        pytest.skip(str(error))
    alone, eight, many = (row["up_per_payload"] for row in found["rows"])
    assert alone > eight > many > 1
    assert found["passed"]


def test_under_faults_each_picture_is_answered_once_or_reported() -> None:
    try:
        found = faults(MODEL, kills=1, seed=1)
    except SettingsError as error:
        pytest.skip(str(error))
    assert found["asked"] == found["answered"] + found["failed"] and not found["another_pictures_answer_or_twice"]
    assert set(Counter(found["what_became_of_frames"])) <= ENDS
    assert found["passed"]
