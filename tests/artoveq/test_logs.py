"""What a server's log holds, and that an edge's pictures are named alike on both sides."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from artoveq.logs import lines
from artoveq.processes import server_process
from edge_client import Client, OneShot
from tests.conftest import MODEL, PICTURES
from wire.exceptions import ServerOverloaded
from wire.pictures import read_picture

DINGO = read_picture(PICTURES / "dingo.png")


@pytest.mark.slow
def test_a_failed_picture_is_logged_under_the_id_that_its_edge_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTOVEQ_LOG", "json")
    monkeypatch.setenv("ARTOVEQ_LOG_LEVEL", "debug")
    monkeypatch.setenv("ARTOVEQ_RATE_PICTURES", "1")
    with (tmp_path / "log").open("w+") as log:
        with server_process(MODEL, stderr=log) as server, Client(server.address, str(MODEL)) as client:
            first = client.predict(DINGO, OneShot(1), budget=5)
            with pytest.raises(ServerOverloaded):
                client.predict(DINGO, OneShot(1), budget=5)
        log.seek(0)
        lines = [json.loads(line) for line in log]
    stream, _, number = first.request_id.partition("-")
    assert number == str(first.as_record()["request_id"].partition("-")[2])
    named = [line for line in lines if line.get("request_id", "").startswith(stream)]
    said = [line["message"] for line in named]
    assert said[0] == "Edge 127.0.0.1 has come."
    assert said[-1] == "Edge 127.0.0.1 has gone; 1 of its pictures were answered."
    failed = next(line for line in named if line["message"].startswith("A picture failed"))
    assert failed["code"] == "RESOURCE_EXHAUSTED" and failed["level"] == "INFO" and failed["time"]
    assert failed["request_id"] != first.request_id


@pytest.mark.slow
def test_rest_answers_carry_a_request_id() -> None:
    with server_process(MODEL) as server:
        address = f"http://127.0.0.1:{server.http_port}/healthz"
        given = urllib.request.Request(address, headers={"X-Request-Id": "mine-7"})
        assert urllib.request.urlopen(given).headers["x-request-id"] == "mine-7"
        assert len(urllib.request.urlopen(address).headers["x-request-id"]) == 16


def test_a_record_is_one_line_whatever_names_are_in_it() -> None:
    record = logging.LogRecord("artoveq", logging.INFO, "", 0, "An edge is called %s.", ("a\x1b[2J\nERROR: b",), None)
    assert lines().format(record) == "INFO artoveq: An edge is called a\ufffd[2J ERROR: b."


@pytest.mark.parametrize("name,value", [("ARTOVEQ_LOG", "xml"), ("ARTOVEQ_LOG_LEVEL", "LOUD")])
def test_settings_of_the_log_that_are_none(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    command = [sys.executable, "-m", "artoveq", "--help"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 1 and "ARTOVEQ_LOG is text or json" in refused.stderr.replace("\n", " ")
