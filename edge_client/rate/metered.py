"""A budget of bytes a day, for links that are paid by the byte."""

from __future__ import annotations

import logging
import math
from dataclasses import replace

import numpy as np

from edge_client.rate.cascade import Cascade
from edge_client.rate.points import RatedPoints
from edge_client.rate.policy import NOTHING, Completed, Event, Link, Plan, Progress
from wire.exceptions import UsageError

log = logging.getLogger(__name__)

DAY_S = 86_400.0
GAIN = 0.1
"""By how much a picture moves the threshold at most, in logits, where it took none of its share; SURPLUS times that
where it took that much more."""
SURPLUS = 4.0
LOGITS = (-3.0, 9.0)
"""Thresholds from 0.05, which every answer reaches, to 0.9999."""
LATELY = 0.02
"""Weight of the newest picture in means."""


class BytesPerDay:
    """A cascade that picks itself how sure an answer must be, so that a day's bytes last for the day.

    A picture's share is what is left of them over the pictures that are still to come, at the rate of late. While
    pictures take less than their share the threshold rises, and it falls while they take more (Robbins and Monro 1951).
    Bytes are those on the link, with what is around payloads. What no further picture can be sent with is not spent:
    the edge answers alone until the next day begins, a day after the first picture.

    Raises:
        UsageError: if it is no number of bytes above 0.
    """

    def __init__(self, bytes_per_day: float) -> None:
        if not 0 < bytes_per_day < math.inf:
            raise UsageError(f"{bytes_per_day!r} is no number of bytes a day above 0; write for example 20e6.")
        self.bytes_per_day = float(bytes_per_day)
        self._cascade = Cascade()
        self._day: float | None = None
        """When it began."""
        self._spent, self._said = 0.0, False
        self._logit = math.log(9.0)  # 0.9
        self._newest: float | None = None
        self._interval: float | None = None
        """Seconds between pictures, of late."""
        self._sent_mean = 0.0
        """Bytes of a picture that took any, of late."""

    @property
    def min_confidence(self) -> float:
        """How sure an answer must be now."""
        return 1 / (1 + math.exp(-self._logit))

    def left(self, now: float) -> float:
        """Bytes, of this day's."""
        if self._day is None:
            self._day = now
        days = math.floor((now - self._day) / DAY_S)
        if days > 0:
            self._day, self._spent, self._said = self._day + days * DAY_S, 0.0, False
        return self.bytes_per_day - self._spent

    def plan(self, points: RatedPoints, link: Link, deadline: float, now: float) -> Plan:
        """The cascade's, of what is left; nothing, where that is too little."""
        affordable = np.flatnonzero(points.bits <= 8 * self.left(now))
        if not len(affordable):
            self._say(now)
            return NOTHING
        plan = self._cascade.plan(points.rows(affordable), link, deadline, now)
        return replace(plan, min_confidence=self.min_confidence)

    def observe(self, event: Event) -> Plan | None:
        """The cascade's next run, where that is left; after a picture, how the threshold moves."""
        if isinstance(event, Completed):
            self._learn(event)
            return None
        plan = self._cascade.observe(event)
        return plan if plan is not None and self._affords(event, plan) else None

    def _affords(self, event: Progress, plan: Plan) -> bool:
        points, link = event.points, event.link
        bits = points.bits[points.planes.searchsorted(plan.runs[-1])]
        messages = event.planes  # around each run before this one, at most
        return bool(bits + messages * link.message_bits <= 8 * self.left(event.now))

    def _learn(self, event: Completed) -> None:
        left, sent = self.left(event.now), event.sent_bytes
        self._spent += sent
        if sent:
            self._sent_mean += LATELY * (sent - self._sent_mean) if self._sent_mean else sent
        if self._newest is not None:
            interval = max(0.0, event.now - self._newest)
            known = self._interval
            self._interval = interval if known is None else known + LATELY * (interval - known)
        self._newest = event.now
        if self._interval is None or self._day is None:
            return
        share = left * self._interval / max(self._interval, self._day + DAY_S - event.now)
        over = (share - sent) / max(share, self._sent_mean, 1.0)
        moved = self._logit + GAIN * min(1.0, max(-SURPLUS, over))
        self._logit = min(LOGITS[1], max(LOGITS[0], moved))

    def _say(self, now: float) -> None:
        if self._said or self._day is None:
            return
        self._said = True
        hours = (self._day + DAY_S - now) / 3600
        log.warning(
            "The %s bytes of this day are spent; for the next %.1f h the edge answers alone.",
            f"{self.bytes_per_day:,.0f}",
            hours,
        )
