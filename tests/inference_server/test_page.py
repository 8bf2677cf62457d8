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
from inference_server.page.edges import THUMBNAIL_BYTES, Edges, View
from inference_server.streams.actions import Answered
from tests.inference_server.serving import Running, serving
from tests.inference_server.test_stream import finals, hello, payload, planes
from tests.wire.manifests import manifest_of
from wire.artifact import Artifact
from wire.exceptions import ProtocolError
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub

MANIFEST = manifest_of((1,), [(2,), (4,)])


def events(server: Running) -> Iterator[dict[str, Any]]:
    with httpx2.stream("GET", f"{server.url}/v1/edges", timeout=20) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def test_the_page_loads_nothing_from_elsewhere(http: httpx2.Client) -> None:
    page = http.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    assert "://" not in page.text
    assert http.get("/page.js").headers["content-type"].startswith("text/javascript")


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
        seen: dict[str, Any] = {}
        while "thumbnail" not in seen:  # the first thing said after the report has arrived
            seen = next((edge for edge in next(feed)["edges"] if edge["name"] == "gate" and edge["reports"]), seen)
        assert seen["thumbnail"].startswith("data:image/webp;base64,")
        assert (seen["model"], seen["points"], seen["pictures"]) == (progressive.manifest.name, 10, 1)
        assert (seen["picture"]["number"], seen["picture"]["point"]) == (1, 5)
        first, last = seen["picture"]["answers"]
        assert (first["point"], first["payload_bytes"], last["point"], last["payload_bytes"]) == (2, 4, 5, 8)
        assert last["classes"][0]["name"] == "black" and len(last["classes"]) == 3
        (shown,) = seen["reports"]
        assert (shown["point"], shown["payload_bytes"], shown["jpeg_bytes"]) == (5, 8, 9)
        assert (shown["true_capacity"], shown["capacity"], shown["latency_ms"]) == (9600, None, 1.5)
        news = next(edge for edge in next(feed)["edges"] if edge["name"] == "gate")
        assert news["reports"] == [] and "thumbnail" not in news  # nothing is said twice
        said.put(None)
    assert any(all(edge["name"] != "gate" for edge in next(feed)["edges"]) for _ in range(20))


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
        edge.active = float(i)
    news = View(edges, 2).news()
    assert news["connected"] == 5
    assert [e["name"] for e in news["edges"]] == ["3", "4"]
    edges.leave(joined[4])
    assert [e["name"] for e in View(edges, 2).news()["edges"]] == ["2", "3"]


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
    for edge in (modest, *many):
        edges.report(edge, pb.Report(point=1, thumbnail=b"webp"))
    assert [len(edge.reports) for edge in (modest, *many)] == [1, 0, 0, 1, 1]
    rows = View(edges, 8).news()["edges"]
    assert ["thumbnail" in row for row in rows] == [True, False, False, True, True]
    edges.leave(many[3])
    edges.report(many[0], pb.Report(point=2))
    assert [len(edge.reports) for edge in (modest, *many)] == [1, 1, 0, 1, 1]


def test_of_a_report_nothing_is_kept_but_its_numbers() -> None:
    edge = Edges(8).join("caller", "", "host", MANIFEST)
    edge.report(pb.Report.FromString(pb.Report(point=1).SerializeToString() + b"\xf2\x7a\x03abc"))
    assert [one.point for one in edge.reports] == [1]
    assert not any(isinstance(one, pb.Report) for one in edge.reports)


def test_a_large_thumbnail_is_refused() -> None:
    edge = Edges(8).join("caller", "", "host", MANIFEST)
    with pytest.raises(ProtocolError, match="A thumbnail has at most"):
        edge.report(pb.Report(thumbnail=bytes(THUMBNAIL_BYTES + 1)))
