"""What a viewer of the page is told, as JSON values: the edges one by one in a line, or all of one edge."""

from __future__ import annotations

import base64
from typing import Any

from inference_server.history import KEPT, step_of
from inference_server.page.edges import Edge, Edges, described
from inference_server.page.trail import COLUMNS, Reported
from wire.shown import shown

SHOWN_TOP_K = 3
THUMBNAIL_S = 5.0
"""In the overview, an edge's thumbnail is sent so often at most."""


class Overview:
    """A line for each edge, of those that were active last; what one viewer has seen already is not sent again."""

    def __init__(self, edges: Edges, most: int) -> None:
        self._edges, self._most = edges, most
        self._seen: dict[int, tuple[float, bool, int]] = {}
        self._thumbnails: dict[int, tuple[int, float]] = {}

    def news(self, now: float) -> dict[str, Any]:
        """`edges`: those with news. `gone`: numbers that are no longer shown."""
        everyone = self._edges.known(now)
        shown = everyone
        if len(everyone) > self._most:
            shown = sorted(everyone, key=lambda e: (not e.connected, -e.active))[: self._most]
        before, self._seen = self._seen, {e.number: _state(e) for e in shown}
        rows = [self._row(edge, now) for edge in shown if before.get(edge.number) != self._seen[edge.number]]
        gone = [number for number in before if number not in self._seen]
        for number in gone:
            self._thumbnails.pop(number, None)
        return {"connected": len(self._edges.connected), "known": len(everyone), "edges": rows, "gone": gone}

    def _row(self, edge: Edge, now: float) -> dict[str, Any]:
        row = line(edge)
        sent, at = self._thumbnails.get(edge.number, (0, -THUMBNAIL_S))
        if edge.thumbnail and edge.thumbnails != sent and now - at >= THUMBNAIL_S:
            self._thumbnails[edge.number] = edge.thumbnails, now
            row["thumbnail"] = thumbnail_of(edge)
        return row


class Close:
    """All of one edge: at first an hour of it, then what is new."""

    def __init__(self, edges: Edges, number: int) -> None:
        self._edges, self._number = edges, number
        self._reported, self._thumbnails, self._step = 0, 0, 0

    def news(self, now: float) -> dict[str, Any]:
        """`edge`: null, where it is not known."""
        edge = self._edges.find(self._number)
        return {"connected": len(self._edges.connected), "edge": self._all(edge, now) if edge else None}

    def _all(self, edge: Edge, now: float) -> dict[str, Any]:
        told = {**line(edge), "picture": _picture(edge), "reports": [], "columns": ["at", *COLUMNS], "history": []}
        if edge.trail is not None:
            trail, step = edge.trail, step_of(now)
            new = trail.reported - self._reported
            if new < 0:  # it was kept anew
                new = trail.reported
            trail.keep()
            told["reports"] = [_report(one) for one in list(trail.reports)[-new:]] if new else []
            told["history"] = trail.history.since(self._step or step - KEPT, step)
            self._reported, self._step = trail.reported, step
        if edge.thumbnail and edge.thumbnails != self._thumbnails:
            self._thumbnails = edge.thumbnails
            told["thumbnail"] = thumbnail_of(edge)
        return told


def _state(edge: Edge) -> tuple[float, bool, int]:
    """What changes whenever a line does."""
    return edge.active, edge.connected, edge.trail.reported if edge.trail else 0


def line(edge: Edge) -> dict[str, Any]:
    """An edge in the overview. Times are seconds of the server's monotonic clock."""
    reports = edge.trail.reports if edge.trail else ()
    newest = reports[-1] if reports else None
    return {
        "number": edge.number,
        "name": edge.name,
        "model": edge.manifest.name,
        "points": len(edge.manifest.points),
        "pictures": edge.pictures,
        "active": round(edge.active, 3),
        "connected": edge.connected,
        "answer": _answer(edge),
        "local": newest is not None and newest.point == 0,
        "capacity": newest.capacity or None if newest else None,
        "in_time": sum(not one.missed for one in reports) / len(reports) if reports else None,
        "budget_ms": newest.budget_ms if newest else None,
        "cause": next((one.cause for one in reversed(reports) if one.missed), None),
    }


def _answer(edge: Edge) -> dict[str, Any] | None:
    """The newest answer in a few words."""
    if edge.newest is None or not edge.newest.answers:
        return None
    payload_bytes, decoded = edge.newest.answers[-1]
    if decoded.said is not None:
        said, confidence = shown(decoded.said.text), round(decoded.said.probability, 4)
    elif not edge.manifest.task.names:
        said, confidence = edge.manifest.task.name, None
    else:
        best = int(decoded.output.argmax())
        said, confidence = edge.manifest.task.names[best], round(float(decoded.output[best]), 4)
    return {"point": decoded.point, "payload_bytes": payload_bytes, "said": said, "confidence": confidence}


def _picture(edge: Edge) -> dict[str, Any] | None:
    if edge.newest is None:
        return None
    answers = [
        {"point": decoded.point, "payload_bytes": size, **described(edge.manifest, decoded, SHOWN_TOP_K)}
        for size, decoded in edge.newest.answers
    ]
    return {"number": edge.newest.number, "point": edge.newest.target, "answers": answers}


def _report(report: Reported) -> dict[str, Any]:
    best, confidence = report.said
    return {
        "at": report.at,
        "point": report.point,
        "payload_bytes": report.payload_bytes,
        "capacity": report.capacity or None,
        "capacity_low": report.capacity_low or None,
        "capacity_high": report.capacity_high or None,
        "true_capacity": report.true_capacity or None,
        "latency_ms": report.latency_ms,
        "budget_ms": report.budget_ms,
        "jpeg_bytes": report.jpeg_bytes,
        "webp_bytes": report.webp_bytes,
        "parts": None
        if report.parts is None
        else {name: getattr(report.parts, name) for name in ("edge", "link", "queue", "decode")},
        "cause": report.cause,
        "class": None if best != best else int(best),
        "confidence": None if confidence != confidence else round(confidence, 4),
    }


def thumbnail_of(edge: Edge) -> str:
    """As an image takes it."""
    return "data:image/webp;base64," + base64.b64encode(edge.thumbnail).decode()
