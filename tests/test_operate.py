"""What operators get is so: each metric is described, alerts fire, the dashboard draws, units are units."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from artoveq import Client, OneShot
from artoveq.processes import ServerProcess
from tests.conftest import PICTURES, ROOT

DOCS = ROOT / "docs"
DASHBOARD = json.loads((DOCS / "grafana-dashboard.json").read_text())
QUERIES = {target["expr"]: panel["title"] for panel in DASHBOARD["panels"] for target in panel["targets"]}
QUIET = {"Pictures that failed", "Deadlines missed"}
"""Panels that are empty where all is well."""
SETTLED_S = 60


@pytest.fixture(scope="module")
def exported(server: ServerProcess) -> str:
    """What the server says at /metrics, after some pictures."""
    with Client(server.address) as client:
        for _ in range(3):
            client.predict(PICTURES / "dingo.png", OneShot(point=12))
    return httpx2.get(f"http://127.0.0.1:{server.http_port}/metrics").text


@pytest.mark.slow
def test_every_metric_that_the_server_exports_is_described(exported: str) -> None:
    families = [one for one in text_string_to_metric_families(exported) if not one.name.endswith("_created")]
    named = {one.name + ("_total" if one.type == "counter" else ""): one for one in families}
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| (\w+)", (DOCS / "operate.md").read_text(), re.M))
    assert {name: one.type for name, one in named.items()} == rows


@pytest.mark.slow
def test_alerts_and_dashboard_ask_for_what_there_is(exported: str) -> None:
    there = set(re.findall(r"^(\w+)", exported, re.M)) | set(re.findall(r"^# TYPE (\w+)", exported, re.M)) | {"artoveq"}
    text = (DOCS / "prometheus-alerts.yml").read_text() + "".join(QUERIES)
    assert set(re.findall(r"\b(?:artoveq|process)_\w+", text)) <= there


@pytest.mark.prometheus
def test_the_alerts_fire_where_they_should() -> None:
    subprocess.run(["promtool", "check", "rules", DOCS / "prometheus-alerts.yml"], check=True)
    subprocess.run(["promtool", "test", "rules", DOCS / "prometheus-alerts.test.yml"], check=True)


@pytest.fixture
def prometheus(server: ServerProcess, tmp_path: Path) -> Iterator[httpx2.Client]:
    """A real one, which scrapes the server four times a second."""
    scrape = {"job_name": "artoveq", "static_configs": [{"targets": [f"127.0.0.1:{server.http_port}"]}]}
    settings = {"global": {"scrape_interval": "250ms", "scrape_timeout": "250ms", "evaluation_interval": "1s"}}
    rules = {"rule_files": [str(DOCS / "prometheus-alerts.yml")]}
    (tmp_path / "prometheus.yml").write_text(json.dumps({**settings, **rules, "scrape_configs": [scrape]}))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"])
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            yield client
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.prometheus
def test_the_dashboard_draws_what_a_real_prometheus_has(prometheus: httpx2.Client, server: ServerProcess) -> None:
    empty, deadline = set(QUERIES.values()), time.monotonic() + SETTLED_S
    with Client(server.address) as client:
        while empty - QUIET and time.monotonic() < deadline:
            client.predict(PICTURES / "dingo.png", OneShot(point=12))
            time.sleep(0.25)
            empty = {title for query, title in QUERIES.items() if not _series(prometheus, query)}
    assert not empty - QUIET
    alerts = prometheus.get("/api/v1/rules").json()["data"]["groups"][0]["rules"]
    assert {rule["health"] for rule in alerts} <= {"ok", "unknown"} and len(alerts) == 6


def _series(prometheus: httpx2.Client, query: str) -> list[object]:
    asked = query.replace("$job", "artoveq").replace("$__rate_interval", "10s")
    try:
        answer = prometheus.get("/api/v1/query", params={"query": asked})
    except httpx2.TransportError:  # not up yet
        return []
    assert answer.status_code in (200, 503), answer.text
    return list(answer.json()["data"]["result"]) if answer.status_code == 200 else []


@pytest.mark.prometheus
@pytest.mark.parametrize("unit", ["serve", "watch"])
def test_systemd_takes_the_units(unit: str, tmp_path: Path) -> None:
    text = (DOCS / f"artoveq-{unit}.service").read_text().replace("/opt/artoveq/bin/artoveq", sys.executable)
    (tmp_path / f"artoveq-{unit}.service").write_text(text)
    ran = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / f"artoveq-{unit}.service"], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_lines_for_the_journal_have_their_priority(tmp_path: Path) -> None:
    code = "import logging; from artoveq.logs import set_up; set_up(); logging.getLogger('artoveq').error('a\\nb')"
    with (tmp_path / "journal").open("w") as journal:
        stream = os.fstat(journal.fileno())
        environment = {**os.environ, "JOURNAL_STREAM": f"{stream.st_dev}:{stream.st_ino}"}
        subprocess.run([sys.executable, "-c", code], stderr=journal, env=environment, check=True)
    assert (tmp_path / "journal").read_text() == "<3>ERROR artoveq: a b\n"
