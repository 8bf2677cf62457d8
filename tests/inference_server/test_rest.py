from __future__ import annotations

import base64
import json
import re
from base64 import b64decode
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from inference_server.rest import problems
from inference_server.rest.predictions import shown_points
from tests import tiny
from tests.conftest import ROOT
from tests.inference_server.conftest import file_of, png
from tests.inference_server.serving import serving
from tests.wire.manifests import chained, manifest_of
from wire.artifact import Artifact
from wire.pictures import read_picture

GREEN = png("green")


def events(http: httpx2.Client, **params: object) -> list[dict[str, Any]]:
    with http.stream("POST", "/v1/predictions/stream", content=GREEN, params=params) as answer:  # type: ignore[arg-type]
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.iter_lines() if line.startswith("data: ")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_a_picture_is_answered_at_the_point_that_is_named(http: httpx2.Client, any_size: Artifact) -> None:
    model = any_size.manifest.name
    for params, point in (({}, 7), ({"point": 2}, 2), ({"level": 3}, 4)):
        answer = http.post("/v1/predictions", content=GREEN, params={"model": model, "top_k": 3, **params})
        assert answer.status_code == 200
        body = answer.json()
        assert (body["point"], body["final"]) == (point, True)
        assert body["payload_bytes"] == any_size.manifest.point(point).payload_bytes
        assert body["classes"][0]["name"] == "green" and len(body["classes"]) == 3


def test_point_0_is_what_the_edge_would_say(tmp_path: Path) -> None:
    headed = tiny.progressive(tmp_path / "headed", local=True)
    with serving(headed.folder) as server, httpx2.Client(base_url=server.url) as http:
        body = http.post("/v1/predictions", content=GREEN, params={"point": 0, "top_k": 2}).json()
        assert (body["point"], body["payload_bytes"], body["final"]) == (0, 0, True)
        assert body["classes"][0]["name"] == "green" and len(body["classes"]) == 2
        assert [one["point"] for one in events(http)] == [0, 3, 6, 8, 10]
        assert [one["point"] for one in events(http, points=[0, 4])] == [0, 4]
        (sure,) = events(http, min_confidence=0.5)
        assert (sure["point"], sure["final"]) == (0, True)
        assert [one["point"] for one in events(http, point=0)] == [0]
        assert 'point="0"' in http.get("/metrics").text
        assert http.get("/v1/model").json()["local_head"] == {"metric": 0.6, "temperature": 2.0}


def test_coded_bytes_are_those_an_edge_would_send(http: httpx2.Client, coded: Artifact) -> None:
    answer = http.post("/v1/predictions", content=GREEN, params={"model": coded.manifest.fingerprint})
    assert 0 < answer.json()["payload_bytes"] <= coded.manifest.points[-1].payload_bytes


def test_the_answer_is_streamed_over_the_whole_levels(http: httpx2.Client) -> None:
    """A refinable model, one that is not, and one with a single whole level."""
    found = events(http)
    assert [e["point"] for e in found] == [3, 6, 8, 10]
    assert [e["payload_bytes"] for e in found] == [4, 8, 12, 16]
    assert [e["final"] for e in found] == [False] * 3 + [True]
    assert {e["classes"][0]["name"] for e in found} == {"green"}
    assert [e["point"] for e in events(http, point=7)] == [3, 6, 7]
    assert [e["point"] for e in events(http, model="tiny-nested")] == [1, 2, 3, 4]
    assert [e["point"] for e in events(http, model="tiny-any-size")] == [4, 7]


def test_points_bytes_and_confidence_choose_what_is_answered(http: httpx2.Client) -> None:
    assert [e["point"] for e in events(http, points=[9, 2, 9])] == [2, 9]
    assert [e["point"] for e in events(http, bytes=8)] == [3, 6]
    assert [(e["point"], e["final"]) for e in events(http, min_confidence=0.0)] == [(3, True)]
    answer = http.post("/v1/predictions", content=GREEN, params={"bytes": 5}).json()
    assert answer["point"] == 3 and answer["payload_bytes"] <= 5
    assert http.post("/v1/predictions/stream", content=GREEN, params={"points": [2, 99]}).status_code == 422


def test_events_are_numbered_and_say_when_to_come_back(http: httpx2.Client) -> None:
    lines = http.post("/v1/predictions/stream", content=GREEN).text.split("\n")
    assert lines[0] == "retry: 1000"
    assert [line for line in lines if line.startswith("id: ")] == ["id: 1", "id: 2", "id: 3", "id: 4"]


def test_a_picture_may_come_in_a_form_or_in_json(http: httpx2.Client) -> None:
    expected = http.post("/v1/predictions", content=GREEN).json()
    encoded = base64.b64encode(GREEN).decode()
    assert http.post("/v1/predictions", json={"picture": encoded}).json() == expected
    form = {"other": ("a", b"no"), "picture": ("green.png", GREEN, "image/png")}
    assert http.post("/v1/predictions", files=form).json() == expected
    for wrong in ({"json": {"picture": 7}}, {"json": []}, {"files": {"other": GREEN}}, {"json": {"picture": "!"}}):
        answer = http.post("/v1/predictions", **wrong)  # type: ignore[arg-type]
        assert answer.status_code == 422 and answer.json()["type"] == "urn:artoveq:problem:body-unreadable"


@pytest.mark.parametrize(
    ("path", "methods"),
    [("/v1/predictions", "OPTIONS, POST"), ("/v1/model", "GET, HEAD, OPTIONS"), ("/page.css", "GET, HEAD, OPTIONS")],
)
def test_other_methods_are_told_which_a_path_takes(http: httpx2.Client, path: str, methods: str) -> None:
    answer = http.delete(path)
    assert (answer.status_code, answer.headers["allow"]) == (405, methods)
    assert answer.json()["type"] == "urn:artoveq:problem:method-unknown"
    asked = http.options(path)
    assert (asked.status_code, asked.headers["allow"]) == (204, methods)


def test_the_problems_are_all_described() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| (\d+) \|", (ROOT / "docs" / "rest.md").read_text(), re.M)
    assert rows == [(kind.name, str(kind.status)) for kind in problems.KINDS]


def test_head_is_get_without_its_body(http: httpx2.Client) -> None:
    for path in ("/v1/model", "/healthz", "/", "/none"):
        head, get = http.head(path), http.get(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert head.headers["content-length"] == get.headers["content-length"]
    assert http.head("/v1/edges").headers["content-type"].startswith("text/event-stream")  # which have no end


def test_who_accepts_json_gets_the_edges_once(http: httpx2.Client) -> None:
    said = http.get("/v1/edges", headers={"Accept": "application/json"}).json()
    assert not any(edge["connected"] for edge in said["edges"])  # other tests' edges are remembered


def test_points_that_are_shown_are_few() -> None:
    chain = chained((1, 1, 1), [(0,), (1,), (2,)] * 8, largest=256)
    assert shown_points(chain, 24) == [3, 6, 9, 12, 15, 18, 21, 24]  # whole levels
    odd = chained((1, 1), [(0,)] * 8 + [(1,)] * 7, largest=256)
    assert shown_points(odd, 15) == [1, 3, 5, 7, 9, 11, 13, 15]
    assert shown_points(odd, 2) == [1, 2] and shown_points(odd, 1) == [1]
    blocks = manifest_of((1,), [(k,) for k in (3, 5, 6)], any_size=True)
    assert shown_points(blocks, 3) == [1, 2, 3]


@pytest.mark.parametrize("path", ["/v1/predictions", "/v1/predictions/stream"])
@pytest.mark.parametrize(
    ("content", "params", "said"),
    [
        (b"no picture", {}, "is not a picture"),
        (b"", {}, "is not a picture"),
        (GREEN[:45], {}, "is damaged or cut short"),
        (GREEN, {"point": 0}, "tiny-progressive has no local head"),
        (GREEN, {"point": 11}, "Point 11 does not exist"),
        (GREEN, {"point": "fast"}, "valid integer"),
        (GREEN, {"level": 5}, "Level 5 does not exist; tiny-progressive has level 1, 2, 3, 4"),
        (GREEN, {"level": 1, "point": 1}, "a point or a level, not both"),
        (GREEN, {"level": 1, "bytes": 9}, "nor bytes or points"),
        (GREEN, {"top_k": 0}, "greater than or equal to 1"),
    ],
)
def test_bad_requests_are_answered_in_a_sentence(
    http: httpx2.Client, path: str, content: bytes, params: dict[str, object], said: str
) -> None:
    answer = http.post(path, content=content, params=params)  # type: ignore[arg-type]
    assert answer.status_code == 422 and answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"] and answer.json()["type"] in {kind.type for kind in problems.KINDS}


@pytest.mark.parametrize("path", ["/v1/predictions", "/v1/predictions/stream", "/v1/model"])
def test_a_model_that_is_not_served_is_not_found(http: httpx2.Client, path: str) -> None:
    answer = http.request("GET" if path == "/v1/model" else "POST", path, content=GREEN, params={"model": "x"})
    assert answer.status_code == 404
    assert "has no model 'x'" in answer.json()["detail"]


def test_too_large_a_file_is_not_read_to_its_end(progressive: Artifact) -> None:
    with serving(progressive.folder, max_upload_bytes=60) as server:
        answer = httpx2.post(f"{server.url}/v1/predictions", content=GREEN)
        assert answer.status_code == 413
        assert "more than 60 bytes" in answer.json()["detail"]


def test_models_health_and_metrics(http: httpx2.Client, progressive: Artifact, nested: Artifact) -> None:
    assert http.get("/v1/model").json()["fingerprint"] == progressive.manifest.fingerprint
    name = nested.manifest.name
    assert http.get("/v1/model", params={"model": name}).json()["fingerprint"] == nested.manifest.fingerprint
    rows = http.get("/v1/models").json()
    assert [row["name"] for row in rows][:2] == [progressive.manifest.name, "tiny-coded"]
    assert rows[0] == {
        "name": "tiny-progressive",
        "fingerprint": progressive.manifest.fingerprint,
        "task": "classification",
        "points": len(tiny.PROGRESSIVE),
        "refinable": True,
        "current": True,
        "share": 1.0,
        "streams": 0,
        "pictures": rows[0]["pictures"],
        "loaded": True,
        "memory_bytes": rows[0]["memory_bytes"],
    }
    assert rows[0]["memory_bytes"] > 0
    assert http.get("/healthz").json() == {"status": "ok"}
    assert http.get("/readyz").json() == {"status": "ready"}
    http.post("/v1/predictions", content=GREEN, params={"point": 3})
    assert 'artoveq_pictures_total{model="tiny-progressive",point="3"}' in http.get("/metrics").text


def test_the_description_has_examples(http: httpx2.Client) -> None:
    described = http.get("/openapi.json").json()
    assert set(described["paths"]) == {
        "/v1/answers", "/v1/answers/stream", "/v1/predictions", "/v1/predictions/stream", "/v1/edges", "/v1/model",
        "/v1/models",
        "/v1/models/{fingerprint}/files/{name}", "/v1/promotions", "/v1/rollbacks", "/v1/removals",
        "/healthz", "/readyz", "/metrics",
    }  # fmt: skip
    assert described["components"]["schemas"]["PredictionBody"]["examples"]
    body = described["paths"]["/v1/predictions"]["post"]["requestBody"]
    assert {"image/jpeg", "image/png", "image/webp", "multipart/form-data", "application/json"} <= set(body["content"])
    assert body["content"]["image/png"]["schema"]["format"] == "binary"


def test_a_reconstruction_is_a_png_file_in_json_or_alone(http: httpx2.Client, reconstruction: Artifact) -> None:
    model = reconstruction.manifest.name
    grey = file_of(np.full((40, 50, 3), 128, np.uint8))
    for point, payload_bytes in ((1, 32), (2, 33), (5, 80)):
        asked = {"model": model, "point": point}
        body = http.post("/v1/predictions", content=grey, params=asked).json()
        assert body["payload_bytes"] == payload_bytes
        alone = http.post("/v1/predictions", content=grey, params=asked, headers={"Accept": "image/png"})
        assert (alone.status_code, alone.headers["content-type"]) == (200, "image/png")
        assert alone.content == b64decode(body["png"])
        found = read_picture(alone.content)
        assert found.shape == (32, 32, 3) and np.abs(found.astype(int) - 128).max() <= 8
    streamed = events(http, model=model)
    assert [e["point"] for e in streamed] == [1, 3, 5] and all("png" in e for e in streamed)


def test_a_picture_asked_of_a_classifier_is_refused_with_a_sentence(http: httpx2.Client) -> None:
    refused = http.post("/v1/predictions", content=GREEN, headers={"Accept": "image/png"})
    assert refused.status_code == 406
    assert refused.json()["detail"] == (
        "tiny-progressive answers by classification, not with a picture; ask for application/json, or name a model "
        "that reconstructs with ?model=."
    )
