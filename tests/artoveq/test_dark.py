"""A link that is dead for a while, in virtual time: each frame is answered once, whatever happens on the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from artoveq.watch.frames import Frame
from artoveq.watch.loop import Options, watch
from artoveq.watch.sinks import Record
from edge_client import Answer, AsyncClient, Kept, OneShot, Result, Spool
from edge_client.modes import Mode, Progressive
from edge_client.spool import Arrival
from edge_client.transport.memory import run_in_virtual_time
from edge_client.waiting import MOST_TRIES, is_waited_for
from wire.exceptions import (
    AccessDenied,
    ArtifactError,
    ArtoveqError,
    ModelMismatch,
    PictureError,
    PointError,
    ProtocolError,
    ServerError,
    ServerOverloaded,
    ServerUnavailable,
    SpoolError,
)
from wire.manifest import LocalHead
from wire.tasks.classification import Classification, ClassProbability

PICTURE = np.zeros((8, 8, 3), np.uint8)
ANSWER = Answer(1, Classification((ClassProbability(0, "dog", 0.9),)), True, 0.01)
LOCAL = Answer(0, Classification((ClassProbability(1, "fox", 0.6),)), True, 0.001, local=True)
"""The edge's own."""
CONNECT_S = 10.0
"""What it takes to find out that nobody answers."""
FOLDER = Path("/in")


class Model:
    """Stands for the encoder of the client below."""

    fingerprint = "f" * 64
    local_head: LocalHead | None = None

    @property
    def manifest(self) -> Model:
        return self


class Edge:
    """A client whose link is there from `up` to `down`, and which fails as it is told to."""

    def __init__(self, up: float = 0.0, down: float = 1e9) -> None:
        self.up, self.down, self.encoder = up, down, Model()
        self.failing: Callable[[str], ArtoveqError | None] = lambda name: None
        self.asked: list[str] = []

    async def _reach(self, name: str) -> None:
        now = asyncio.get_running_loop().time()
        if not self.up <= now < self.down:
            await asyncio.sleep(CONNECT_S)
            raise ServerUnavailable("Nobody answers.")
        await asyncio.sleep(0.05)
        self.asked.append(name)
        if (error := self.failing(name)) is not None:
            raise error

    async def predict(self, picture: Any, mode: Any, *, budget: float, top_k: int) -> Result:
        if mode == OneShot(point=0):
            return Result(0, budget, None, 0.0, answers=[LOCAL])
        await self._reach("live")
        return Result(1, budget, None, 0.01, answers=[ANSWER])

    async def deliver(self, kept: Kept, *, top_k: int) -> Answer:
        await self._reach(kept.context["source"])
        return ANSWER

    def keep(
        self, spool: Spool, picture: Any, context: dict[str, Any], *, key: bytes, arrival: Arrival | None
    ) -> list[Kept]:
        return spool.keep("f" * 64, 1, b"planes", True, context, key=key, arrival=arrival)


class Ledger:
    """A sink that takes results at once, but for a while."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.away = (0.0, 0.0)

    def send(self, record: Record) -> None:
        self.records.append({**record, "at": asyncio.get_running_loop().time()})

    async def taken(self) -> bool:
        now = asyncio.get_running_loop().time()
        if self.away[0] <= now < self.away[1]:
            await asyncio.sleep(self.away[1] - now)
        return True

    def close(self) -> None:
        """As of a sink."""

    def of(self, *keys: str) -> list[str]:
        """Sources of the results that have one of these keys."""
        return [record["source"] for record in self.records if set(keys) & set(record)]


def frame(number: int, *, file: bool = True) -> Frame:
    arrival = Arrival(FOLDER, f"{number}.png", "mark") if file else None
    return Frame(number, f"{number}.png", PICTURE, time.monotonic(), arrival, bytes([number, 7]))


async def at(times: list[tuple[float, Frame]]) -> AsyncIterator[Frame]:
    """Frames at their times, or as soon as they are taken."""
    for when, one in times:
        await asyncio.sleep(max(0.0, when - asyncio.get_running_loop().time()))
        yield one


def run(
    edge: Edge,
    times: list[tuple[float, Frame]],
    spool: Spool | None,
    until: float,
    sink: Ledger,
    mode: Mode = OneShot(),  # noqa: B008 (frozen)
) -> None:
    """`artoveq watch`, killed at that time."""

    async def frames() -> AsyncIterator[Frame]:
        async for one in at(times):
            yield one
        await asyncio.sleep(1e9)

    async def main() -> None:
        client = cast(AsyncClient, edge)
        watching = asyncio.create_task(watch(client, frames(), [sink], Options(mode, 0.2), spool))
        await asyncio.sleep(until)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    run_in_virtual_time(main())


@pytest.fixture
def spool(tmp_path: Path) -> Any:
    with closing(Spool(tmp_path / "s.db", 100)) as made:
        yield made


NAMES = [f"{number}.png" for number in range(100)]


def test_what_comes_in_the_dark_is_kept_at_once_and_answered_when_the_link_is_there(spool: Spool) -> None:
    edge, sink = Edge(up=60.0), Ledger()
    run(edge, [(1.0, frame(number)) for number in range(30)], spool, 120.0, sink)
    assert sink.of("kept") == NAMES[:30] and all(r["at"] < 12 for r in sink.records if "kept" in r)
    assert sink.of("delivered") == edge.asked == NAMES[29::-1]  # the newest first
    assert min(r["at"] for r in sink.records if "delivered" in r) < 60 + 2 * CONNECT_S
    assert spool.taken(FOLDER) == dict.fromkeys(NAMES[:30], "mark") and len(spool) == 0


def headed(up: float) -> Edge:
    """With an answer of its own."""
    edge = Edge(up=up)
    edge.encoder.local_head = LocalHead(metric=0.7)
    return edge


def test_in_the_dark_the_edge_answers_alone_and_the_later_answer_takes_its_place(spool: Spool) -> None:
    """A link that is cut for a minute."""
    edge, sink = headed(60.0), Ledger()
    run(edge, [(1.0, frame(number)) for number in range(20)], spool, 120.0, sink)
    dark = [record for record in sink.records if "kept" in record]
    assert [record["source"] for record in dark] == NAMES[:20]
    assert all(r["class"] == "fox" and r["local"] and r["point"] == 0 and r["unanswered"] for r in dark)
    lit = [record for record in sink.records if "delivered" in record]
    assert sorted(record["key"] for record in dark) == sorted(record["key"] for record in lit)
    assert all(r["class"] == "dog" and not r["local"] and "unanswered" not in r and "answers" not in r for r in lit)
    assert len(sink.records) == 40 and len(spool) == 0


def test_where_the_edge_is_sure_nothing_is_kept_for_later(spool: Spool) -> None:
    for least, kept in ((0.5, []), (0.7, NAMES[:3])):
        sink = Ledger()
        run(headed(1e9), [(1.0, frame(n)) for n in range(3)], spool, 40.0, sink, Progressive(min_confidence=least))
        assert sink.of("kept") == kept and sink.of("class") == NAMES[:3]
    assert spool.taken(FOLDER) == dict.fromkeys(NAMES[:3], "mark")


def test_without_a_spool_the_edge_answers_alone_too() -> None:
    sink = Ledger()
    run(headed(1e9), [(0.0, frame(number)) for number in range(3)], None, 100.0, sink)
    assert sink.of("class") == NAMES[:3] and sink.of("error") == []


def test_frames_are_answered_live_again_once_the_link_is_back(spool: Spool) -> None:
    edge, sink = Edge(up=30.0), Ledger()
    run(edge, [(1.0, frame(1)), (100.0, frame(2))], spool, 200.0, sink)
    assert sink.of("kept") == sink.of("delivered") == ["1.png"]
    assert sink.of("request_id") == ["2.png"] and edge.asked == ["1.png", "live"]
    assert spool.taken(FOLDER) == {"1.png": "mark", "2.png": "mark"}


def test_of_a_camera_a_frame_a_second_is_kept(spool: Spool) -> None:
    edge, sink = Edge(up=1e9), Ledger()
    run(edge, [(0.0, frame(number, file=False)) for number in range(100)], spool, CONNECT_S + 20, sink)
    assert 20 <= len(sink.of("kept")) <= 45


def test_a_spool_that_is_full_says_what_had_to_go(tmp_path: Path) -> None:
    edge, sink = Edge(up=1e9), Ledger()
    with closing(Spool(tmp_path / "s.db", 5)) as spool:
        run(edge, [(0.0, frame(number)) for number in range(8)], spool, 60.0, sink)
    assert sink.of("kept") == NAMES[:8] and sink.of("error") == NAMES[:3]


def test_without_a_spool_a_frame_in_the_dark_is_said_to_have_failed() -> None:
    edge, sink = Edge(up=60.0), Ledger()
    run(edge, [(0.0, frame(number)) for number in range(12)], None, 300.0, sink)
    assert sorted(sink.of("error") + sink.of("request_id")) == sorted(NAMES[:12])
    assert sink.of("error") and sink.of("request_id")
    assert all("key" not in record for record in sink.records)


def test_a_result_that_is_not_taken_is_not_forgotten(spool: Spool) -> None:
    """The receiver is away from 30 s on; the edge is killed at 60 s."""
    edge, sink = Edge(up=30.0), Ledger()
    sink.away = (30.0, 1000.0)
    run(edge, [(0.0, frame(1)), (0.0, frame(2))], spool, 60.0, sink)
    assert sink.of("delivered") == ["2.png"] and len(spool) == 2
    again = Ledger()
    run(Edge(), [], spool, 10.0, again)
    assert again.of("delivered") == ["2.png", "1.png"] and len(spool) == 0
    assert again.records[0]["key"] == sink.records[-1]["key"] == "0207"  # it is known as the same one


def test_a_live_result_that_is_not_taken_leaves_its_file_unticked(spool: Spool) -> None:
    sink = Ledger()
    sink.away = (1.0, 1000.0)
    run(Edge(), [(0.0, frame(1)), (2.0, frame(2))], spool, 60.0, sink)
    assert sink.of("request_id") == ["1.png", "2.png"] and spool.taken(FOLDER) == {"1.png": "mark"}


def test_what_the_server_will_never_answer_is_set_aside_and_what_it_may_answer_waits(spool: Spool) -> None:
    for number in range(4):
        spool.keep("f" * 64, 1, b"planes", True, {"source": f"{number}.png"})
    edge, sink = Edge(), Ledger()
    errors: dict[str, list[ArtoveqError]] = {
        "3.png": [ServerError("broken")] * MOST_TRIES,
        "2.png": [AccessDenied("no token")] * 7,
        "1.png": [ProtocolError("too short")],
    }
    edge.failing = lambda name: errors[name].pop() if errors.get(name) else None
    run(edge, [], spool, 600.0, sink)
    assert sink.of("error") == ["3.png", "1.png"] and sink.of("delivered") == ["2.png", "0.png"]
    assert len(spool) == 0 and edge.asked.count("3.png") == MOST_TRIES and edge.asked.count("2.png") == 8


def test_a_server_that_is_busy_or_wants_another_token_loses_no_frame(spool: Spool) -> None:
    edge, sink = Edge(), Ledger()
    errors: list[ArtoveqError] = [AccessDenied("no token"), ServerOverloaded("busy", 3.0), ArtifactError("no model")]
    edge.failing = lambda name: errors.pop() if name == "live" and errors else None
    run(edge, [(float(number), frame(number)) for number in range(6)], spool, 60.0, sink)
    assert sink.of("kept") == sink.of("delivered") == NAMES[:3] and sink.of("request_id") == NAMES[3:6]


def test_a_disk_that_is_full_is_said_and_the_file_is_taken_after_a_restart(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> list[Kept]:
        raise SpoolError("No space is left.")

    sink = Ledger()
    with monkeypatch.context() as patch:
        patch.setattr(spool, "keep", full)
        run(Edge(up=1e9), [(0.0, frame(1))], spool, 60.0, sink)
    assert "No space is left" in sink.records[0]["error"] and spool.taken(FOLDER) is None


KEPT = Kept("a" * 64, 1, b"planes", True, {}, b"key")


@pytest.mark.parametrize(
    ("error", "tries", "expected"),
    [
        (ServerUnavailable(""), 1000, True),
        (ServerOverloaded(""), 1000, True),
        (AccessDenied(""), 1000, True),
        (SpoolError(""), 1000, True),
        (ArtifactError(""), 1000, True),
        (ServerError(""), MOST_TRIES - 1, True),
        (ServerError(""), MOST_TRIES, False),
        (ProtocolError(""), 1, False),
        (PictureError(""), 1, False),
        (PointError(""), 1, False),
    ],
)
def test_what_may_be_set_right_is_waited_for(error: ArtoveqError, tries: int, expected: bool) -> None:
    assert is_waited_for(error, KEPT, "a" * 64, tries) is expected


def test_planes_of_a_model_that_is_gone_are_given_up_and_a_picture_is_not() -> None:
    mismatch, with_picture = ModelMismatch(""), Kept("a" * 64, 1, b"planes", True, {}, b"key", b"file")
    assert not is_waited_for(mismatch, KEPT, "b" * 64, 1)
    assert is_waited_for(mismatch, KEPT, "a" * 64, 1) and is_waited_for(mismatch, with_picture, "b" * 64, 1)
