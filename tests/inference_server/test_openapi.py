"""Requests made from the OpenAPI document, right ones and wrong ones: the server answers as the document says."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.conftest import ROOT
from tests.inference_server.serving import serving
from wire.artifact import Artifact

SPECTRAL = ROOT / "tests" / "tools" / "node_modules" / ".bin" / "spectral"
RULES = ROOT / "tests" / "tools" / "openapi.yaml"


@pytest.mark.slow
def test_the_server_does_what_its_openapi_document_says(
    progressive: Artifact, reconstruction: Artifact, caplog: pytest.LogCaptureFixture
) -> None:
    """All checks, all operations; of the events of /v1/edges, which have no end, the first, as JSON."""
    with serving(progressive.folder, reconstruction.folder) as server:
        command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{server.url}/openapi.json"]
        options = ["--header", "Accept: application/json", "--max-examples", "40", "--seed", "1"]
        ran = subprocess.run([*command, *options], capture_output=True, text=True, check=False, cwd=ROOT)
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-1000:]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.clients
def test_the_openapi_document_has_nothing_to_mend(http: httpx2.Client, tmp_path: Path) -> None:
    document = tmp_path / "openapi.json"
    document.write_text(http.get("/openapi.json").text)
    ran = subprocess.run(
        [SPECTRAL, "lint", "-r", RULES, "-F", "hint", document], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout


def test_every_operation_has_a_name_of_its_own_and_says_whether_it_wants_a_token(http: httpx2.Client) -> None:
    described = http.get("/openapi.json").json()
    operations = [(path, one) for path, methods in described["paths"].items() for one in methods.values()]
    assert sorted(one["operationId"] for _, one in operations) == [
        "add_model", "answer", "answer_stream", "describe_model", "fetch_file", "is_alive", "is_ready", "list_models",
        "predict", "predict_stream", "promote_model", "read_metrics", "remove_model", "roll_model_back", "watch_edges",
    ]  # fmt: skip
    assert {path for path, one in operations if not one["security"]} == {"/healthz", "/readyz"}
    refused = [r for _, one in operations for status, r in one["responses"].items() if status in ("401", "422")]
    assert refused and all(list(one["content"]) == ["application/problem+json"] for one in refused)
