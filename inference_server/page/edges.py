"""The edges that are connected, as the page shows them. Nothing of it is rendered unless somebody looks."""

from __future__ import annotations

import base64
import itertools
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from inference_server import metrics
from inference_server.answers import Decoded, answer_message
from inference_server.shares import Shares
from inference_server.streams.actions import Answered
from wire.exceptions import ProtocolError
from wire.generated import remote_inference_pb2 as pb
from wire.manifest import Manifest
from wire.shown import shown
from wire.tasks import task_of

REPORTS_KEPT = 240
NAME_LENGTH = 64
THUMBNAIL_BYTES = 16384
SHOWN_TOP_K = 3


@dataclass
class Shown:
    """One picture, to be answered at the point `target`."""

    number: int
    target: int
    answers: list[tuple[int, Decoded]] = field(default_factory=list)
    """Bytes that had arrived, and what was decoded from them."""


@dataclass(frozen=True, slots=True)
class Reported:
    """What is kept of a report: numbers alone, since a message keeps all that came with it. at: of our clock."""

    at: float
    point: int
    payload_bytes: int
    capacity: float
    true_capacity: float
    latency_us: int
    budget_us: int
    jpeg_bytes: int
    webp_bytes: int


@dataclass(eq=False)
class Edge:
    """One stream: its newest answered picture, and the newest reports of the edge with their times."""

    number: int
    caller: str
    name: str
    manifest: Manifest
    pictures: int = 0
    """Those that were answered."""
    active: float = field(default_factory=time.monotonic)
    newest: Shown | None = None
    reports: deque[Reported] = field(default_factory=lambda: deque(maxlen=REPORTS_KEPT))
    reported: int = 0
    thumbnail: bytes = b""
    thumbnails: int = 0

    def answered(self, note: Answered) -> None:
        """A picture's next answer. Of several pictures in flight the newest is shown."""
        self.pictures += note.first
        self.active = time.monotonic()
        if self.newest is None or note.picture_id > self.newest.number:
            self.newest = Shown(note.picture_id, note.target)
        if note.picture_id == self.newest.number:
            self.newest.answers.append((note.payload_bytes, note.decoded))

    def report(self, report: pb.Report) -> None:
        """What the edge says of its newest picture; `Edges.report` bounds how many edges' are kept.

        Raises:
            ProtocolError: if the thumbnail is too large.
        """
        metrics.REPORTED.inc()
        if report.latency_us > report.budget_us:
            metrics.DEADLINE_MISSED.inc()
        if len(report.thumbnail) > THUMBNAIL_BYTES:
            raise ProtocolError(f"A thumbnail has at most {THUMBNAIL_BYTES} bytes, not {len(report.thumbnail)}.")
        if report.thumbnail:
            self.thumbnail = report.thumbnail
            self.thumbnails += 1
        self.reports.append(
            Reported(
                at=round(time.monotonic(), 3),
                point=report.point,
                payload_bytes=report.payload_bytes,
                capacity=report.capacity,
                true_capacity=report.true_capacity,
                latency_us=report.latency_us,
                budget_us=report.budget_us,
                jpeg_bytes=report.jpeg_bytes,
                webp_bytes=report.webp_bytes,
            )
        )
        self.reported += 1


class Edges:
    """All connected edges; of `reporting` of them the reports are kept."""

    def __init__(self, reporting: int) -> None:
        self._numbers = itertools.count(1)
        self.connected: dict[int, Edge] = {}
        self._reporting: Shares[Edge] = Shares(reporting)

    def join(self, caller: str, name: str, host: str, manifest: Manifest) -> Edge:
        """A new stream of a caller; an edge without a name is called by its host."""
        edge = Edge(next(self._numbers), caller, shown(name, NAME_LENGTH) or host, manifest)
        self.connected[edge.number] = edge
        return edge

    def leave(self, edge: Edge) -> None:
        """The stream has ended."""
        del self.connected[edge.number]
        self._reporting.pop(edge.caller, edge.number)

    def report(self, edge: Edge, report: pb.Report) -> None:
        """What an edge says of its newest picture.

        Raises:
            ProtocolError: if the thumbnail is too large.
        """
        edge.report(report)
        for other in self._reporting.put(edge.caller, edge.number, edge):
            other.reports.clear()
            other.thumbnail = b""


class View:
    """What one viewer has seen already, so that only news is sent."""

    def __init__(self, edges: Edges, most: int) -> None:
        self._edges, self._most = edges, most
        self._seen: dict[int, tuple[int, int]] = {}

    def news(self) -> dict[str, Any]:
        """The edges that were active last, as JSON values: reports and thumbnails that are new, the rest as it is."""
        everyone = self._edges.connected.values()
        shown = sorted(sorted(everyone, key=lambda e: -e.active)[: self._most], key=lambda e: e.number)
        rows = [self._row(edge) for edge in shown]
        self._seen = {edge.number: (edge.reported, edge.thumbnails) for edge in shown}
        return {"connected": len(everyone), "now": round(time.monotonic(), 3), "edges": rows}

    def _row(self, edge: Edge) -> dict[str, Any]:
        reported, thumbnails = self._seen.get(edge.number, (0, 0))
        new = list(edge.reports)[-(edge.reported - reported) :] if edge.reported > reported else []
        row = {
            "number": edge.number,
            "name": edge.name,
            "model": edge.manifest.name,
            "points": len(edge.manifest.points),
            "pictures": edge.pictures,
            "active": round(edge.active, 3),
            "picture": _picture(edge.manifest, edge.newest) if edge.newest else None,
            "reports": [_row_of(report) for report in new],
        }
        if edge.thumbnails > thumbnails and edge.thumbnail:
            row["thumbnail"] = "data:image/webp;base64," + base64.b64encode(edge.thumbnail).decode()
        return row


def _picture(manifest: Manifest, shown: Shown) -> dict[str, Any]:
    task = task_of(manifest)
    answers = []
    for payload_bytes, decoded in shown.answers:
        value = task.read(answer_message(decoded, task, manifest, SHOWN_TOP_K))
        answers.append({"point": decoded.point, "payload_bytes": payload_bytes, **task.describe(value)})
    return {"number": shown.number, "point": shown.target, "answers": answers}


def _row_of(report: Reported) -> dict[str, Any]:
    return {
        "at": report.at,
        "point": report.point,
        "payload_bytes": report.payload_bytes,
        "capacity": report.capacity or None,
        "true_capacity": report.true_capacity or None,
        "latency_ms": report.latency_us / 1000,
        "budget_ms": report.budget_us / 1000,
        "jpeg_bytes": report.jpeg_bytes,
        "webp_bytes": report.webp_bytes,
    }
