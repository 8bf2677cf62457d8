"""Requests made from the OpenAPI document, right ones and wrong ones: the server answers as the document says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from artoveq.processes import server_process
from tests.conftest import MODEL

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def test_the_server_does_what_its_openapi_document_says(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w+") as log:
        with server_process(MODEL, stderr=log) as server:
            command = [
                str(Path(sys.executable).with_name("schemathesis")),
                "run",
                f"http://127.0.0.1:{server.http_port}/openapi.json",
            ]
            options = ["--checks", CHECKS, "--max-examples", "60", "--exclude-path", "/v1/edges", "--seed", "1"]
            ran = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
            assert server.process.poll() is None
        log.seek(0)
        faults = [line for line in log if "Traceback" in line or "ERROR" in line]
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-1000:]
    assert not faults
