"""A day's bytes, in virtual time: pictures whose answers are sure or not, over days."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import numpy as np
import pytest

from edge_client.rate import (
    NOTHING,
    BytesPerDay,
    Completed,
    Link,
    LinkEstimator,
    Progress,
    RatedPoint,
    RatedPoints,
)
from edge_client.rate.metered import DAY_S
from wire.exceptions import UsageError

FIRST, AROUND = 64.0, 50.0
"""Bytes of the first run, and around each."""
SEED = 7


def points() -> RatedPoints:
    """Eight runs of 64 bytes each."""
    return RatedPoints.of([RatedPoint(n, 8 * (FIRST * n + AROUND), 0.7 + 0.02 * n, planes=n) for n in range(1, 9)])


def link() -> Link:
    estimator = LinkEstimator()
    estimator.capacity = 1e6
    return Link(estimator, 0.01, 0.0, 8 * AROUND)


@dataclass
class Day:
    """What became of a day's pictures."""

    pictures: int = 0
    sent: float = 0.0
    local: int = 0
    threshold: float = 0.0


def days(policy: BytesPerDay, count: int, every: float = 300.0) -> list[Day]:
    """A picture now and then: its local answer is as sure as chance has it, and each run halves the doubt."""
    drawn, found = np.random.default_rng(SEED), [Day() for _ in range(count)]
    for k in range(int(count * DAY_S / every)):
        now = k * every
        day = found[int(now // DAY_S)]
        plan = policy.plan(points(), link(), now + 1.0, now)
        doubt, sent = float(drawn.uniform(0.001, 0.7)), 0.0
        if plan != NOTHING:
            assert plan.min_confidence is not None
            day.threshold, runs, following = plan.min_confidence, 0, plan
            while following is not None and 1 - doubt < plan.min_confidence:
                runs, sent, doubt = runs + 1, sent + FIRST + AROUND, doubt / 2
                following = policy.observe(Progress(now, points(), link(), now + 1.0, runs, runs, runs))
        policy.observe(Completed(now + 0.5, plan, now + 1.0, (), link(), None, sent))
        day.pictures, day.sent, day.local = day.pictures + 1, day.sent + sent, day.local + (sent == 0)
    return found


@pytest.mark.parametrize("budget", [10e3, 30e3, 100e3])
def test_a_days_bytes_last_for_the_day_and_are_used(budget: float) -> None:
    for day in days(BytesPerDay(budget), 2):
        assert 0.9 * budget <= day.sent <= budget
        assert 0 < day.local < day.pictures


def test_more_bytes_mean_surer_answers() -> None:
    thresholds = [days(BytesPerDay(budget), 1)[0].threshold for budget in (10e3, 30e3, 100e3)]
    assert thresholds == sorted(set(thresholds))


def test_with_more_than_enough_everything_is_sent() -> None:
    (day,) = days(BytesPerDay(1e9), 2)[1:]
    assert day.threshold > 0.999 and day.sent > 0.9 * day.pictures * 4 * (FIRST + AROUND)


def test_a_spent_day_is_said_once_and_the_next_begins_anew(caplog: pytest.LogCaptureFixture) -> None:
    policy = BytesPerDay(200)
    with caplog.at_level(logging.WARNING):
        assert policy.plan(points(), link(), 1.0, 0.0).runs
        policy.observe(Completed(0.5, NOTHING, 1.0, (), link(), None, 150.0))
        for now in (10.0, 20.0, DAY_S - 1):
            assert policy.plan(points(), link(), now + 1, now) == NOTHING
        assert [record.getMessage() for record in caplog.records] == [
            "The 200 bytes of this day are spent; for the next 24.0 h the edge answers alone."
        ]
        assert policy.plan(points(), link(), DAY_S + 1, DAY_S).runs and policy.left(DAY_S) == 200
        policy.observe(Completed(DAY_S + 1, NOTHING, 1.0, (), link(), None, 150.0))
        assert policy.plan(points(), link(), DAY_S + 3, DAY_S + 2) == NOTHING
        assert len(caplog.records) == 2


def test_a_point_that_is_not_left_is_not_planned() -> None:
    plan = BytesPerDay(FIRST + AROUND + 1).plan(points(), link(), 10.0, 0.0)
    assert (plan.point, plan.runs) == (1, (1,))


@pytest.mark.parametrize("budget", [0, -1, math.nan, math.inf])
def test_no_budget(budget: float) -> None:
    with pytest.raises(UsageError, match="no number of bytes a day above 0"):
        BytesPerDay(budget)
