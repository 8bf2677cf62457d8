"""What is kept of one edge for those who watch: its newest reports one by one, and an hour of it in coarse samples."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import nan

import numpy as np

from inference_server.answers import Decoded
from inference_server.history import History, step_of
from inference_server.page.causes import CAUSES, Parts, cause_of, parts_of, usual
from wire.generated import remote_inference_pb2 as pb

REPORTS_KEPT = 240
COLUMNS = (
    "pictures", "payload_bytes", "class", "confidence", "reported", "capacity", "capacity_low", "capacity_high",
    "true_capacity", "latency_ms", "budget_ms", *(f"missed_{cause}" for cause in (*CAUSES, "unknown")),
)  # fmt: skip
"""Of a sample. Means; but pictures, reported and missed are counts, class is the newest, latency_ms the longest."""
Said = tuple[float, float]
"""The index of a class, or of an answer to a question, and how sure that is; NaN where there are no such."""


@dataclass(frozen=True, slots=True)
class Reported:
    """What is kept of a report: numbers alone, since a message keeps all that came with it. at: of our clock."""

    at: float
    point: int
    payload_bytes: int
    capacity: float
    capacity_low: float
    capacity_high: float
    true_capacity: float
    latency_ms: float
    budget_ms: float
    jpeg_bytes: int
    webp_bytes: int
    parts: Parts | None
    cause: str
    """Why it was late; empty: it was in time."""
    said: Said
    """Of the newest answer when this came; of the edge's own (point 0) nothing is known here."""

    @property
    def missed(self) -> bool:
        """Whether the first answer came after the budget."""
        return self.latency_ms > self.budget_ms


@dataclass
class Trail:
    """Bounded, however long the edge stays."""

    reports: deque[Reported] = field(default_factory=lambda: deque(maxlen=REPORTS_KEPT))
    history: History = field(default_factory=lambda: History(*COLUMNS))
    reported: int = 0
    _usual: Parts | None = None
    _step: int = -1
    _pictures: int = 0
    _payload_bytes: int = 0
    _decoded: Decoded | None = None
    _of_step: list[Reported] = field(default_factory=list)

    def pictured(self, now: float, payload_bytes: int, decoded: Decoded | None) -> None:
        """A picture will probably have no further answer. decoded: the last one, where it is one of several."""
        self._turn(step_of(now))
        self._pictures += 1
        self._payload_bytes += payload_bytes
        self._decoded = decoded

    def report(self, now: float, report: pb.Report, decoded: Decoded | None) -> None:
        """What the edge says of its newest picture. decoded: what the server said last, where it is one of several."""
        self._turn(step_of(now))
        parts = parts_of(report)
        late = report.latency_us > report.budget_us
        cause = (cause_of(parts, self._usual) if parts else "unknown") if late else ""
        if parts and not late:
            self._usual = usual(self._usual, parts)
        kept = Reported(
            at=round(now, 3),
            point=report.point,
            payload_bytes=report.payload_bytes,
            capacity=report.capacity,
            capacity_low=report.capacity_low,
            capacity_high=report.capacity_high,
            true_capacity=report.true_capacity,
            latency_ms=report.latency_us / 1000,
            budget_ms=report.budget_us / 1000,
            jpeg_bytes=report.jpeg_bytes,
            webp_bytes=report.webp_bytes,
            parts=parts,
            cause=cause,
            said=said(decoded if report.point else None),
        )
        self.reports.append(kept)
        self.reported += 1
        self._of_step.append(kept)

    def keep(self) -> None:
        """Puts what is known of the step that is now into the history."""
        if not self._pictures and not self._of_step:
            return
        found = self._of_step
        causes = [one.cause for one in found]
        self.history.put(
            self._step,
            self._pictures,
            self._payload_bytes / self._pictures if self._pictures else nan,
            *said(self._decoded),
            len(found),
            *(_mean([getattr(one, name) for one in found]) for name in COLUMNS[5:9]),
            max((one.latency_ms for one in found), default=nan),
            _mean([one.budget_ms for one in found]),
            *(causes.count(cause) for cause in (*CAUSES, "unknown")),
        )

    def _turn(self, step: int) -> None:
        if step != self._step:
            self.keep()
            self._step, self._pictures, self._payload_bytes, self._of_step = step, 0, 0, []


def said(decoded: Decoded | None) -> Said:
    """What an answer comes to."""
    if decoded is None:
        return nan, nan
    best = int(decoded.output.argmax())
    return best, float(decoded.output[best])


def _mean(values: list[float]) -> float:
    """Of what is known; 0 says that it is not."""
    known = [value for value in values if value]
    return float(np.mean(known)) if known else nan
