"""What the page lives on: its files, and the events about connected edges."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from typing import Any

import grpc
import httpx2
import numpy as np
import pytest
from prometheus_client import REGISTRY

from inference_server.answers import Decoded
from inference_server.page.edges import THUMBNAIL_BYTES, Edges
from inference_server.page.trail import REPORTS_KEPT, Trail
from inference_server.page.view import Close, Overview
from inference_server.streams.actions import Answered
from tests.inference_server.serving import Running, serving
from tests.inference_server.test_stream import finals, hello, payload, planes
from tests.wire.manifests import manifest_of
from wire.artifact import Artifact
from wire.exceptions import ProtocolError
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub

MANIFEST = manifest_of((1,), [(2,), (4,)])


def events(server: Running, edge: int | None = None) -> Iterator[dict[str, Any]]:
    asked = {} if edge is None else {"edge": edge}
    with httpx2.stream("GET", f"{server.url}/v1/edges", params=asked, timeout=20) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def test_the_page_loads_nothing_from_elsewhere(http: httpx2.Client) -> None:
    page = http.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    assert "://" not in page.text
    assert http.get("/page.js").headers["content-type"].startswith("text/javascript")


@pytest.mark.slow
def test_an_edge_is_shown_while_it_is_connected(server: Running, progressive: Artifact) -> None:
    feed = events(server)
    said: queue.Queue[pb.StreamRequest | None] = queue.Queue()
    said.put(hello(progressive, name="gate"))
    said.put(planes(1, 1, 2, bytes(4), 5, top_k=1))
    with grpc.insecure_channel(server.address) as channel:
        call = RemoteInferenceServiceStub(channel).Stream(iter(said.get, None))
        while not next(call).HasField("answer"):
            pass
        said.put(planes(1, 3, 2, bytes(4), 5))
        while not next(call).answer.final:
            pass
        report = pb.Report(point=5, payload_bytes=8, true_capacity=9600, latency_us=1500, budget_us=50000, jpeg_bytes=9)
        report.thumbnail = b"webp"
        said.put(pb.StreamRequest(report=report))
        line: dict[str, Any] = {}
        while line.get("in_time") is None:  # the first thing said after the report has arrived
            line = next((edge for edge in next(feed)["edges"] if edge["name"] == "gate"), line)
        assert line["thumbnail"].startswith("data:image/webp;base64,")
        assert (line["model"], line["points"], line["pictures"]) == (progressive.manifest.name, 10, 1)
        assert (line["answer"]["point"], line["answer"]["payload_bytes"], line["answer"]["said"]) == (5, 8, "black")
        assert (line["connected"], line["in_time"], line["budget_ms"]) == (True, 1.0, 50)
        assert all(edge["name"] != "gate" for edge in next(feed)["edges"])  # nothing is said twice
        close = events(server, line["number"])
        seen = next(close)["edge"]
        assert seen["thumbnail"] == line["thumbnail"]
        assert (seen["picture"]["number"], seen["picture"]["point"]) == (1, 5)
        first, last = seen["picture"]["answers"]
        assert (first["point"], first["payload_bytes"], last["point"], last["payload_bytes"]) == (2, 4, 5, 8)
        assert last["classes"][0]["name"] == "black" and len(last["classes"]) == 3
        (shown,) = seen["reports"]
        assert (shown["point"], shown["payload_bytes"], shown["jpeg_bytes"]) == (5, 8, 9)
        assert (shown["true_capacity"], shown["capacity"], shown["latency_ms"]) == (9600, None, 1.5)
        sample = dict(zip(seen["columns"], seen["history"][-1], strict=True))
        assert (sample["reported"], sample["true_capacity"], sample["missed_link"]) == (1, 9600, 0)
        news = next(close)["edge"]
        assert news["reports"] == [] and "thumbnail" not in news
        said.put(None)
    gone = next(edge for news in feed for edge in news["edges"] if edge["name"] == "gate")
    assert not gone["connected"] and gone["answer"] == line["answer"]
    assert next(events(server, 10**6))["edge"] is None


def test_the_server_tells_how_it_is(server: Running, progressive: Artifact) -> None:
    requests = [hello(progressive), *(payload(number, 6, bytes(8)) for number in range(1, 6))]
    with grpc.insecure_channel(server.address) as channel:
        assert len(finals(list(RemoteInferenceServiceStub(channel).Stream(iter(requests))))) == 5
    told = httpx2.get(f"{server.url}/v1/edges", headers={"Accept": "application/json"}).json()["server"]
    model = next(one for one in told["models"] if one["name"] == progressive.manifest.name)
    assert (model["device"], model["share"], told["waiting"]) == ("cpu", 1, 0)
    assert model["fingerprint"] == progressive.manifest.fingerprint and model["current"]
    assert model["memory_bytes"] > 0 and model["pictures"] >= 5
    assert model["rate"] > 0 and 0 < model["p50_ms"] <= model["p99_ms"] and model["batch"] >= 1
    sample = dict(zip(model["columns"], model["history"][-1], strict=True))
    assert sample["pictures"] >= 5 and sample["batches"] >= 1


def test_the_metrics_count_points_deadlines_and_first_answers(server: Running, progressive: Artifact) -> None:
    point = {"model": progressive.manifest.name, "point": "6"}
    names: list[tuple[str, dict[str, str]]] = [
        ("artoveq_point_selected_total", point),
        ("artoveq_pictures_total", point),
        ("artoveq_reported_total", {}),
        ("artoveq_deadline_missed_total", {}),
        ("artoveq_time_to_first_answer_seconds_count", {}),
    ]
    requests = [hello(progressive)]
    for number, latency in ((1, 10), (2, 10), (3, 30)):
        requests.append(payload(number, 6, bytes(8)))
        requests.append(pb.StreamRequest(report=pb.Report(latency_us=latency, budget_us=20)))
    before = [REGISTRY.get_sample_value(*one) or 0 for one in names]
    with grpc.insecure_channel(server.address) as channel:
        assert len(finals(list(RemoteInferenceServiceStub(channel).Stream(iter(requests))))) == 3
    after = [REGISTRY.get_sample_value(*one) or 0 for one in names]
    assert [b - a for a, b in zip(before, after, strict=True)] == [3, 3, 3, 1, 3]


@pytest.mark.slow
def test_events_end_when_the_server_stops(progressive: Artifact) -> None:
    with serving(progressive.folder) as server:
        feed = events(server)
        next(feed)
        server.stop()
        assert len(list(feed)) < 10


def test_only_so_many_viewers_are_served(progressive: Artifact) -> None:
    with serving(progressive.folder, viewers=1) as server:
        feed = events(server)
        next(feed)
        answer = httpx2.get(f"{server.url}/v1/edges")
        assert answer.status_code == 429 and "viewers" in answer.json()["detail"]
        feed.close()  # type: ignore[attr-defined]


def test_an_edge_without_a_name_is_called_by_its_host() -> None:
    edges = Edges(8)
    assert edges.join("caller", "", "10.0.0.7", MANIFEST).name == "10.0.0.7"
    assert len(edges.join("caller", "x" * 1000, "10.0.0.7", MANIFEST).name) == 64


def test_of_many_edges_those_active_last_are_shown() -> None:
    edges = Edges(8)
    joined = [edges.join("caller", str(i), "host", MANIFEST) for i in range(5)]
    for i, edge in enumerate(joined):
        edge.active = 1e6 + i
    view = Overview(edges, 2)
    news = view.news(1e6)
    assert (news["connected"], sorted(e["name"] for e in news["edges"])) == (5, ["3", "4"])
    edges.leave(joined[4])
    news = view.news(1e6)
    assert [e["name"] for e in news["edges"]] == ["2"] and news["gone"] == [joined[4].number]


def test_an_edge_that_has_gone_is_remembered_for_an_hour_and_goes_on_when_it_comes_back() -> None:
    edges = Edges(8)
    edge = edges.join("caller", "gate", "host", MANIFEST)
    edges.report(edge, pb.Report(point=1))
    edges.leave(edge)
    (line,) = Overview(edges, 8).news(edge.active)["edges"]
    assert (line["name"], line["connected"]) == ("gate", False)
    assert edges.join("another", "gate", "host", MANIFEST) is not edge
    assert edges.join("caller", "gate", "host", MANIFEST) is edge and edge.connected
    assert edges.join("caller", "gate", "host", MANIFEST) is not edge  # two of that name at once
    edges.leave(edge)
    assert edge in edges.known(edge.active + 3599) and edge not in edges.known(edge.active + 3601)


def test_who_has_gone_is_remembered_within_the_share_of_its_caller() -> None:
    edges = Edges(3)
    kept = edges.join("modest", "modest", "host", MANIFEST)
    edges.leave(kept)
    for i in range(50):
        edges.leave(edges.join("greedy", f"{i}", "host", MANIFEST))
    assert [edge.name for edge in edges.known(kept.active)] == ["modest", "48", "49"]


def test_an_hour_is_kept_in_samples_of_ten_seconds() -> None:
    trail = Trail()
    for second in range(2 * 3600):
        trail.report(second, pb.Report(latency_us=second, budget_us=10**6, capacity=8000), None)
    assert len(trail.reports) == REPORTS_KEPT
    rows = trail.history.since(0, 719)
    assert len(rows) == 359 and [rows[0][0], rows[-1][0]] == [3600, 7180]  # the step that is now is not over
    row = dict(zip(["at", *trail.history.columns], rows[-1], strict=True))
    assert (row["reported"], row["capacity"], row["latency_ms"], row["pictures"]) == (10, 8000, 7.189, 0)
    assert row["confidence"] is None and row["missed_link"] == 0


def test_a_late_picture_is_put_down_to_what_took_longer_than_usual() -> None:
    trail = Trail()
    usual = {"encode_us": 5000, "queue_us": 100, "decode_us": 4000, "budget_us": 50000}
    trail.report(0, pb.Report(latency_us=45000, **usual), None)
    for changed in ({"encode_us": 40000}, {"queue_us": 40000}, {"decode_us": 40000}, {}):
        trail.report(1, pb.Report(latency_us=85000, **{**usual, **changed}), None)
    trail.report(2, pb.Report(latency_us=85000, budget_us=50000), None)
    assert [one.cause for one in trail.reports] == ["", "edge", "queue", "decode", "link", "unknown"]
    trail.keep()
    row = dict(zip(["at", *trail.history.columns], trail.history.since(0, 1)[-1], strict=True))
    assert [row[f"missed_{one}"] for one in ("edge", "link", "queue", "decode", "unknown")] == [1] * 5


def test_of_several_pictures_in_flight_the_newest_is_shown() -> None:
    edge = Edges(8).join("caller", "", "host", MANIFEST)
    for number, point, first in ((2, 1, True), (1, 2, True), (2, 2, False)):
        decoded = Decoded(point, np.array([0.2, 0.8], np.float32), 0.0, 0.0)
        edge.answered(Answered(number, 2, 4 * point, decoded, 0.1, first))
    assert edge.pictures == 2 and edge.newest is not None
    assert [(edge.newest.number, bytes_, one.point) for bytes_, one in edge.newest.answers] == [(2, 4, 1), (2, 8, 2)]


def test_reports_are_kept_of_so_many_edges_and_every_caller_has_its_share() -> None:
    edges = Edges(3)
    modest, *many = (edges.join(caller, "", "host", MANIFEST) for caller in ("modest", *["greedy"] * 4))

    def kept() -> list[int]:
        return [len(edge.trail.reports) if edge.trail else 0 for edge in (modest, *many)]

    for edge in (modest, *many):
        edges.report(edge, pb.Report(point=1, thumbnail=b"webp"))
    assert kept() == [1, 0, 0, 1, 1]
    rows = Overview(edges, 8).news(0)["edges"]
    assert ["thumbnail" in row for row in rows] == [True, False, False, True, True]
    edges.leave(many[3])
    edges.report(many[0], pb.Report(point=2))
    assert kept() == [1, 1, 0, 0, 1]


def test_of_a_report_nothing_is_kept_but_its_numbers() -> None:
    edges = Edges(8)
    edge = edges.join("caller", "", "host", MANIFEST)
    edge.report(pb.Report.FromString(pb.Report(point=1).SerializeToString() + b"\xf2\x7a\x03abc"))
    assert edge.trail is not None and [one.point for one in edge.trail.reports] == [1]
    assert not any(isinstance(one, pb.Report) for one in edge.trail.reports)
    assert [one["point"] for one in Close(edges, edge.number).news(edge.active)["edge"]["reports"]] == [1]


def test_a_large_thumbnail_is_refused() -> None:
    edge = Edges(8).join("caller", "", "host", MANIFEST)
    with pytest.raises(ProtocolError, match="A thumbnail has at most"):
        edge.report(pb.Report(thumbnail=bytes(THUMBNAIL_BYTES + 1)))
