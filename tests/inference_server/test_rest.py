from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from artoveq.processes import ServerProcess, server_process
from tests.conftest import MODEL, PICTURES
from wire.artifact import Artifact

DINGO = (PICTURES / "dingo.png").read_bytes()


@pytest.fixture
def http(server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{server.http_port}") as client:
        yield client


def test_a_picture_is_classified(http: httpx.Client) -> None:
    answer = http.post("/v1/predictions", content=DINGO, params={"top_k": 3, "level": 4})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["planes"], body["final"]) == (4, True) and 128 < body["payload_bytes"] <= 256
    assert body["classes"][0]["name"] == "dingo" and len(body["classes"]) == 3
    assert http.post("/v1/predictions", content=DINGO).json()["planes"] == 8


def test_the_answer_is_streamed_plane_by_plane(http: httpx.Client) -> None:
    events = []
    with http.stream("POST", "/v1/predictions/stream", content=DINGO) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("data: "):
                events.append(json.loads(line.removeprefix("data: ")))
    assert [e["planes"] for e in events] == list(range(1, 9))
    assert [e["final"] for e in events] == [False] * 7 + [True]
    assert events[-1]["classes"][0]["name"] == "dingo"


@pytest.mark.parametrize("path", ["/v1/predictions", "/v1/predictions/stream"])
@pytest.mark.parametrize(
    ("content", "params", "said"),
    [
        (b"no picture", {}, "is not a picture"),
        (b"", {}, "is not a picture"),
        (DINGO[:3000], {}, "is damaged or cut short"),
        (DINGO, {"level": 0}, "Level 0 does not exist"),
        (DINGO, {"level": 9}, "Level 9 does not exist"),
        (DINGO, {"level": "fast"}, "valid integer"),
        (DINGO, {"top_k": 0}, "greater than or equal to 1"),
    ],
)
def test_bad_requests_are_answered_in_a_sentence(
    http: httpx.Client, path: str, content: bytes, params: dict[str, object], said: str
) -> None:
    answer = http.post(path, content=content, params=params)  # type: ignore[arg-type]
    assert answer.status_code == 422
    assert said in answer.text


def test_too_large_a_file_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTOVEQ_MAX_UPLOAD_BYTES", "1000")
    with server_process(MODEL) as server:
        answer = httpx.post(f"http://127.0.0.1:{server.http_port}/v1/predictions", content=DINGO)
        assert answer.status_code == 413
        assert "more than 1,000 bytes" in answer.json()["detail"]


def test_model_health_and_metrics(http: httpx.Client, artifact: Artifact) -> None:
    assert http.get("/v1/model").json()["fingerprint"] == artifact.manifest.fingerprint
    assert http.get("/healthz").json() == {"status": "ok"}
    assert http.get("/readyz").json() == {"status": "ready"}
    http.post("/v1/predictions", content=DINGO, params={"level": 3})
    assert 'artoveq_pictures_total{level="3"}' in http.get("/metrics").text


def test_the_description_has_examples(http: httpx.Client) -> None:
    described = http.get("/openapi.json").json()
    assert set(described["paths"]) == {
        "/v1/predictions", "/v1/predictions/stream", "/v1/edges", "/v1/model", "/healthz", "/readyz", "/metrics",
    }  # fmt: skip
    assert described["components"]["schemas"]["PredictionBody"]["examples"]
    body = described["paths"]["/v1/predictions"]["post"]["requestBody"]
    assert body["content"]["image/*"]["schema"]["format"] == "binary"
