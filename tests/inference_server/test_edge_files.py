"""What an edge in a browser fetches over HTTP, and whose pages may."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import httpx2
import pytest

from inference_server.rest.models import FOR_GOOD
from tests.inference_server.conftest import TOKEN
from tests.inference_server.serving import serving
from wire.artifact import Artifact

APP = "https://app.example.com"


def test_files_are_those_of_the_artifact_and_kept_for_good(http: httpx2.Client, coded: Artifact) -> None:
    folder = f"/v1/models/{coded.manifest.fingerprint}/files"
    manifest = http.get(f"{folder}/manifest.json")
    assert manifest.content == (coded.folder / "manifest.json").read_bytes()
    for name in coded.manifest.edge_files:
        answer = http.get(f"{folder}/{name}")
        assert hashlib.sha256(answer.content).hexdigest() == json.loads(manifest.content)["files"][name]
        assert answer.headers["cache-control"] == FOR_GOOD
        again = http.get(f"{folder}/{name}", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["decoder.onnx", "decoder.pt2", "..%2Fmanifest.json", "nothing"])
def test_other_files_are_not_for_edges(http: httpx2.Client, coded: Artifact, name: str) -> None:
    answer = http.get(f"/v1/models/{coded.manifest.fingerprint}/files/{name}")
    assert answer.status_code == 404 and answer.headers["content-type"] == "application/problem+json"


def test_a_model_that_is_not_served_has_no_files(http: httpx2.Client) -> None:
    answer = http.get(f"/v1/models/{'0' * 64}/files/manifest.json")
    assert answer.status_code == 404 and answer.json()["type"].endswith("model-unknown")


def test_files_want_a_token_where_all_does(progressive: Artifact, tokens: Path) -> None:
    with serving(progressive.folder, tokens_file=tokens) as server:
        url = f"{server.url}/v1/models/{progressive.manifest.fingerprint}/files/encoder.onnx"
        assert httpx2.get(url).status_code == 401
        assert httpx2.get(url, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_pages_of_named_origins_alone_may_read(progressive: Artifact, http: httpx2.Client) -> None:
    preflight = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    with serving(progressive.folder, http_origins=APP) as server:
        asked = httpx2.options(f"{server.url}/v1/predictions", headers={"Origin": APP, **preflight})
        assert asked.status_code == 200 and asked.headers["access-control-allow-origin"] == APP
        assert "authorization" in asked.headers["access-control-allow-headers"]
        for origin, allowed in ((APP, APP), ("https://evil.example.com", None)):
            answer = httpx2.get(f"{server.url}/v1/models", headers={"Origin": origin})
            assert answer.headers.get("access-control-allow-origin") == allowed
            assert "access-control-allow-credentials" not in answer.headers
    assert "access-control-allow-origin" not in http.get("/v1/models", headers={"Origin": APP}).headers
