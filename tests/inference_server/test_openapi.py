"""Requests made from the OpenAPI document, right ones and wrong ones: the server answers as the document says."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from tests.inference_server.serving import serving
from wire.artifact import Artifact

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.mark.slow
def test_the_server_does_what_its_openapi_document_says(
    progressive: Artifact, reconstruction: Artifact, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(progressive.folder, reconstruction.folder) as server:
        command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{server.url}/openapi.json"]
        options = ["--checks", CHECKS, "--max-examples", "60", "--exclude-path", "/v1/edges", "--seed", "1"]
        ran = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-1000:]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
