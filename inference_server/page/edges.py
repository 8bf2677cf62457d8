"""The edges that are connected, or have been within the hour, as the page shows them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from inference_server import metrics
from inference_server.answers import Decoded, answer_message
from inference_server.history import KEPT, STEP_S
from inference_server.page.trail import Trail
from inference_server.shares import Shares
from inference_server.streams.actions import Answered
from wire.exceptions import ProtocolError
from wire.generated import remote_inference_pb2 as pb
from wire.manifest import Manifest
from wire.shown import shown
from wire.tasks import task_of

NAME_LENGTH = 64
THUMBNAIL_BYTES = 16384
REMEMBERED_S = KEPT * STEP_S


@dataclass
class Shown:
    """One picture, to be answered at the point `target`."""

    number: int
    target: int
    answers: list[tuple[int, Decoded]] = field(default_factory=list)
    """Bytes that had arrived, and what was decoded from them."""


@dataclass(eq=False)
class Edge:
    """Its newest answered picture, and what is kept of those before. Times are of the monotonic clock."""

    number: int
    caller: str
    name: str
    manifest: Manifest
    pictures: int = 0
    """Those that were answered."""
    active: float = field(default_factory=time.monotonic)
    """When it was heard last."""
    connected: bool = True
    newest: Shown | None = None
    trail: Trail | None = None
    """None: the server keeps it of other edges."""
    thumbnail: bytes = b""
    thumbnails: int = 0

    def answered(self, note: Answered) -> None:
        """A picture's next answer. Of several pictures in flight the newest is shown."""
        self.pictures += note.first
        self.active = time.monotonic()
        if self.newest is None or note.picture_id > self.newest.number:
            self._settle()
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
        if self.trail is None:
            self.trail = Trail()
        self.trail.report(time.monotonic(), report, self._decoded)

    def forget(self) -> None:
        """Makes room for other edges."""
        self.trail, self.thumbnail = None, b""

    def _settle(self) -> None:
        """The picture before has probably had its last answer."""
        if self.trail is not None and self.newest is not None and self.newest.answers:
            self.trail.pictured(self.active, self.newest.answers[-1][0], self._decoded)

    @property
    def _decoded(self) -> Decoded | None:
        """The newest answer, where it is one of several that have names."""
        named = self.newest is not None and self.newest.answers and self.manifest.task.names
        return self.newest.answers[-1][1] if self.newest is not None and named else None


class Edges:
    """Of `kept` edges there is more than the newest answer, and they are still known once they have gone."""

    def __init__(self, kept: int, numbers: Iterator[int] | None = None) -> None:
        self._numbers = numbers or itertools.count(1)
        self.connected: dict[int, Edge] = {}
        self.departed: dict[tuple[str, str], Edge] = {}
        """By caller and name, the one that left last at the end."""
        self._kept: Shares[Edge] = Shares(kept)

    def join(self, caller: str, name: str, host: str, manifest: Manifest) -> Edge:
        """A new stream of a caller; an edge without a name is called by its host. One that comes back goes on."""
        name = shown(name, NAME_LENGTH) or host
        edge = self.departed.pop((caller, name), None)
        if edge is None:
            edge = Edge(next(self._numbers), caller, name, manifest)
        elif edge.manifest is not manifest:
            edge.newest = None
        edge.manifest, edge.connected, edge.active = manifest, True, time.monotonic()
        if edge.newest is not None:
            edge.newest.number = -1  # the pictures of a new stream are counted anew
        self.connected[edge.number] = edge
        self._keep(edge)
        return edge

    def leave(self, edge: Edge) -> None:
        """The stream has ended."""
        del self.connected[edge.number]
        edge.connected = False
        if edge.trail is None:
            return
        older = self.departed.pop((edge.caller, edge.name), None)
        if older is not None:
            self._kept.pop(older.caller, older.number)
        self.departed[edge.caller, edge.name] = edge

    def report(self, edge: Edge, report: pb.Report) -> None:
        """What an edge says of its newest picture.

        Raises:
            ProtocolError: if the thumbnail is too large.
        """
        edge.report(report)
        self._keep(edge)

    def find(self, number: int) -> Edge | None:
        """An edge that is known."""
        return self.connected.get(number) or next((e for e in self.departed.values() if e.number == number), None)

    def known(self, now: float) -> list[Edge]:
        """All that are connected, and those that have gone within the hour."""
        for key, edge in list(self.departed.items()):
            if edge.active < now - REMEMBERED_S:
                del self.departed[key]
                self._kept.pop(edge.caller, edge.number)
        return [*self.connected.values(), *self.departed.values()]

    def _keep(self, edge: Edge) -> None:
        if edge.trail is None:
            edge.trail = Trail()
        for other in self._kept.put(edge.caller, edge.number, edge):
            other.forget()
            if not other.connected:
                self.departed.pop((other.caller, other.name), None)


def described(manifest: Manifest, decoded: Decoded, top_k: int) -> dict[str, object]:
    """An answer as its task says it, as JSON values."""
    task = task_of(manifest)
    return task.describe(task.read(answer_message(decoded, task, manifest, top_k)))
