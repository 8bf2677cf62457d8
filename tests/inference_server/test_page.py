"""What the page lives on: its files, and the events about connected edges."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from artoveq.processes import ServerProcess, server_process
from edge_client import Client
from inference_server.edges import THUMBNAIL_BYTES, Edges, View
from tests.conftest import MODEL, PICTURES
from wire.exceptions import ProtocolError
from wire.generated import remote_inference_pb2 as pb
from wire.pictures import read_picture


def events(server: ServerProcess) -> Iterator[dict[str, Any]]:
    with httpx.stream("GET", f"http://127.0.0.1:{server.http_port}/v1/edges", timeout=20) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def test_the_page_loads_nothing_from_elsewhere(server: ServerProcess) -> None:
    page = httpx.get(f"http://127.0.0.1:{server.http_port}/")
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    assert "://" not in page.text
    script = httpx.get(f"http://127.0.0.1:{server.http_port}/page.js")
    assert script.headers["content-type"].startswith("text/javascript")


def test_an_edge_is_shown_while_it_is_connected(server: ServerProcess) -> None:
    picture = read_picture(PICTURES / "dingo.png")
    feed = events(server)
    with Client(server.address, str(MODEL), name="gate") as client:
        result = client.predict(picture, budget=1.0, progressive=True)
        client.report(result, picture, thumbnail=True, true_capacity=9600)
        seen: dict[str, Any] = {}
        for _ in range(20):  # the first thing said after the report has arrived
            found = [e for e in next(feed)["edges"] if e["name"] == "gate"]
            seen |= found[0] if found else {}
            if seen.get("thumbnail"):
                break
        assert seen["thumbnail"].startswith("data:image/webp;base64,")
        answers = seen["picture"]["answers"]
        assert answers[-1]["planes"] == 8 and answers[-1]["payload_bytes"] == result.payload_bytes
        assert answers[-1]["classes"][0]["name"] == "dingo" and len(answers[-1]["classes"]) == 3
        (report,) = seen["reports"]
        assert report["true_capacity"] == 9600 and report["payload_bytes"] == result.payload_bytes
        assert report["jpeg_bytes"] > report["webp_bytes"] > 0
        news = next(e for e in next(feed)["edges"] if e["name"] == "gate")
        assert news["reports"] == [] and "thumbnail" not in news  # nothing is said twice
    assert any(all(e["name"] != "gate" for e in next(feed)["edges"]) for _ in range(20))


def test_the_metrics_count_levels_deadlines_and_first_answers() -> None:
    def counted(name: str) -> float:
        text = httpx.get(f"http://127.0.0.1:{server.http_port}/metrics").text
        return float(next(line.rsplit(" ", 1)[1] for line in text.splitlines() if line.startswith(name)))

    picture = read_picture(PICTURES / "dingo.png")
    with server_process(MODEL) as server, Client(server.address, str(MODEL)) as client:
        for budget in (10.0, 10.0, 1e-6):
            client.report(client.predict(picture, budget=budget, level=3), picture)
        assert counted('artoveq_level_selected_total{level="3"}') == 3
        assert counted("artoveq_reported_total") == 3
        assert counted("artoveq_deadline_missed_total") == 1
        assert counted("artoveq_time_to_first_prediction_seconds_count") == 3
        assert 0 < counted("artoveq_time_to_first_prediction_seconds_sum") < 10


def test_events_end_when_the_server_stops() -> None:
    with server_process(MODEL) as server:
        feed = events(server)
        next(feed)
        server.process.terminate()
        for _ in feed:
            pass
        assert server.process.wait(10) == 0


def test_only_so_many_viewers_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTOVEQ_VIEWERS", "1")
    with server_process(MODEL) as server:
        feed = events(server)
        next(feed)
        answer = httpx.get(f"http://127.0.0.1:{server.http_port}/v1/edges")
        assert answer.status_code == 429 and "viewers" in answer.json()["detail"]


def test_an_edge_without_a_name_is_called_by_its_host() -> None:
    edges = Edges()
    assert edges.join("", "ipv4:10.0.0.7:50123").name == "10.0.0.7"
    assert edges.join("", "ipv6:[::1]:50123").name == "[::1]"
    assert len(edges.join("x" * 1000, "ipv4:10.0.0.7:1").name) == 64


def test_of_many_edges_those_active_last_are_shown() -> None:
    edges = Edges()
    joined = [edges.join(str(i), "ipv4:10.0.0.7:1") for i in range(5)]
    for i, edge in enumerate(joined):
        edge.active = float(i)
    news = View(edges, ["a"], 2).news()
    assert news["connected"] == 5
    assert [e["name"] for e in news["edges"]] == ["3", "4"]
    edges.leave(joined[4])
    assert [e["name"] for e in View(edges, ["a"], 2).news()["edges"]] == ["2", "3"]


def test_a_large_thumbnail_is_refused() -> None:
    edge = Edges().join("", "ipv4:10.0.0.7:1")
    with pytest.raises(ProtocolError, match="A thumbnail has at most"):
        edge.report(pb.Report(thumbnail=bytes(THUMBNAIL_BYTES + 1)))
