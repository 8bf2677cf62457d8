"""The benchmarks of the service, for a moment each: books balance. Rates and memory are the commands' to judge."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import pytest

from benchmarks.results import Bar
from benchmarks.service import crowd, throughput
from benchmarks.service.attacks.cases import NAMES, attacks
from benchmarks.service.attacks.siege import siege
from benchmarks.service.faults import ENDS, faults
from benchmarks.service.hostile import hostile
from benchmarks.service.precision import precisions
from benchmarks.service.replicas import Scenario, replicas
from benchmarks.service.wire import wire
from tests.conftest import MODEL, NESTED, ROOT
from wire.exceptions import UsageError

pytestmark = pytest.mark.slow


def missed(bars: Sequence[Bar], *but: str) -> list[str]:
    """Bars that do not hold, but for those that so short a run says nothing of."""
    assert set(but) <= {bar.name for bar in bars}
    return [str(bar) for bar in bars if not bar.holds and bar.name not in but]


MEMORY = "memory, last quarter over the second"


def test_hostile_input_is_refused_and_does_no_harm() -> None:
    found, bars = asyncio.run(hostile(MODEL, 2000, seed=1))
    assert not missed(bars, MEMORY)
    assert found["statuses"]["INVALID_ARGUMENT"] > 100 and sum(found["failures_by_code"].values()) > 20


def test_streams_that_come_and_go_get_their_own_answers() -> None:
    found, bars = asyncio.run(crowd.soak(MODEL, 1600, 80, seed=1))
    assert not missed(bars, MEMORY)
    assert found["answered"] + found["hung_up_before_the_answer"] == found["pictures"] == 1600


def test_a_crowd_beside_busy_streams_gets_its_own_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "ROUND_S", 0.5)
    monkeypatch.setattr(crowd, "SLOW_S", 1.0)
    found, bars = asyncio.run(crowd.fleet(MODEL, 100, 100))
    assert not missed(bars, "throughput beside them over alone")
    assert found["answered"] > 500 and 0 < found["kib_a_stream"] < 1000


def test_throughput_is_counted_beside_the_bare_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WARM_S": 0.3, "ROUND_S": 0.5, "ROUNDS": 2, "HALF_LOAD_S": 1.0}.items():
        monkeypatch.setattr(throughput, name, value)
    found, bars = asyncio.run(throughput.throughput(MODEL, 16, 8, (1.0,)))
    assert not missed(bars, "served over bare decoder") and 0.1 < found["ratio"] < 1.5
    (queueing,) = found["queueing_at_half_load"]
    assert queueing["pictures_a_second"] > 10 and 0 < queueing["p50_ms"] <= queueing["p99_ms"]


@pytest.mark.root
def test_payloads_in_bundles_take_little_more_than_their_bytes() -> None:
    found, bars = wire(MODEL, 1000)
    alone, eight, many = (row["up_per_payload"] for row in found["rows"])
    assert alone > eight > many > 1 and eight < 1.3  # so few pictures share the connection's first bytes
    assert not missed(bars, "bytes up for each byte of payload, 8 or more in flight")


@pytest.mark.faketime
def test_under_faults_each_picture_is_answered_once_or_reported() -> None:
    found, bars = faults(MODEL, kills=1, seed=1)
    assert not missed(bars)
    assert set(found["what_became_of_frames"]) <= ENDS


@pytest.mark.proxies
@pytest.mark.redis
def test_replicas_come_and_go_and_nothing_is_lost() -> None:
    scenario = Scenario(24, 6, 2, busy_s=0.2, slow_s=1.0, age_s=1.0, settle_s=1.5, kills=1, kill_s=1.0, notice_s=1.5)
    found, bars = asyncio.run(replicas(MODEL, NESTED, scenario))
    # How fast it goes, and how evenly, is not for so short a run to say.
    short = (
        "kill -9: longest gap in answers, s",
        "scale-out: farthest from its share",
        "canary: off its share of edges",
    )
    # So few seconds of notice are less than a busy machine's proxy takes to hear of it: edges may have to say so.
    refused = (f"{part}: pictures that failed" for part in found["parts"] if part != "kill -9")
    assert not missed(bars, *short, *refused, "canary: edges on it after rollback")
    parts = found["parts"]
    assert parts["rolling update"]["exit_codes"] == [0, 0, 0]
    assert all(part["answered"] > 20 and part["from_spools"] for part in parts.values())
    assert parts["canary"]["share_when_promoted"] > 0
    assert min(parts["scale-out"]["streams"]) > 0


def test_an_attack_is_counted_beside_a_sink() -> None:
    found, bars = asyncio.run(attacks(MODEL, ("given_up", "external_data"), rounds=1, seconds=1.0))
    short = (
        "honest answers",
        "checks of a port's health",
        "longest check of",
        "lines in a log",
        "given_up: honest p99",
    )
    assert not missed(bars, *(bar.name for bar in bars if bar.name.startswith(short)))
    flood = found["floods"]["given_up"]
    assert flood["acts"] > 5 and flood["acts_against_the_sink"] > 1 and flood["answers"] == 100
    assert found["edges"]["external_data"]["sentence"].startswith("error: ")


def test_the_readme_names_every_attack() -> None:
    words = set(re.findall(r"\w+", (ROOT / "benchmarks" / "service" / "README.md").read_text()))
    assert not set(NAMES) - words


def test_a_siege_loses_nothing() -> None:
    found, bars = asyncio.run(siege(MODEL, minutes=0.05, attack_s=1.0, seed=1))
    assert not missed(bars, "memory between attacks, last quarter over the second", "answers after more than 1 s")
    assert found["answered"] == 100 * found["attacks"] >= 100


def test_precisions_are_compared_where_a_model_has_both() -> None:
    with pytest.raises(UsageError, match="has no decoder in int8; make one with `artoveq int8`"):
        asyncio.run(precisions(MODEL, 4, 4))
