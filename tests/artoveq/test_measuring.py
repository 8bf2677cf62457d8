"""`doctor` and `bench`, against a real server and against none."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import pytest
import trustme

from artoveq.bench import bench
from artoveq.doctor import Finding, findings
from edge_client import Client, OneShot, Progressive, Security
from tests.conftest import MODEL, PICTURES
from tests.inference_server.serving import serving
from tests.inference_server.test_causes import issue


def looked(server: str = "", page: str = "", **security: object) -> dict[str, Finding]:
    return {one.name: one for one in findings(server, page, None, Security(**security))}  # type: ignore[arg-type]


def test_a_port_that_is_taken_is_said_to_be() -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("0.0.0.0", 8080))
            taken.listen()
        except OSError:
            pass  # somebody else has it, which is as good
        found = looked()
    assert "choose another one" in found["port 8080"].fault and not found["providers"].fault
    assert str(found["port 8080"]).startswith("!!  port 8080")


def test_where_nobody_answers_the_port_is_named() -> None:
    found = looked("127.0.0.1:9", "http://127.0.0.1:9")
    assert "takes no connection" in found["port"].fault and "No page answers" in found["clock"].fault
    assert "nobody listens there" in found["model"].fault and "link" not in found


@pytest.mark.slow  # a server of the shipped model
def test_all_is_well_over_tls(tmp_path: Path) -> None:
    authority, file = trustme.CA(), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(file)
    with serving(MODEL, **issue(authority, tmp_path / "tls", "localhost")) as server:
        address, page = f"localhost:{server.server.port}", f"https://localhost:{server.server.http_port}"
        found = looked(address, page, tls=True, ca_file=file)
        assert [one.name for one in found.values() if one.fault] == []
        assert "days more" in found["certificate"].said and "a picture is answered" in found["link"].said
        stranger = looked(address, f"http://{address}", tls=True)
        assert "speaks no HTTP" in stranger["clock"].fault or "No page answers" in stranger["clock"].fault
        assert "TLS does not come about" in stranger["certificate"].fault and "--ca-file" in stranger["model"].fault


@pytest.mark.slow
def test_bench_says_what_pictures_cost_and_give(tmp_path: Path) -> None:
    for folder in ("dingo", "zebra"):
        (tmp_path / folder).mkdir()
        shutil.copy(PICTURES / "dingo.png", tmp_path / folder)
    with serving(MODEL) as server, Client(server.address) as client:
        found = json.loads(json.dumps(bench(client, OneShot(), 5.0, tmp_path, 10)))
        assert (found["pictures"], found["pictures_of_known_class"], found["accuracy"]) == (2, 1, 1.0)
        assert 60 < found["bytes"]["payload"]["median"] < found["bytes"]["jpeg_quality_50"]["median"]
        times = found["latency_ms"]
        parts = sum(times[part]["mean"] for part in ("encode", "queue", "decode", "link"))
        assert parts == pytest.approx(times["first_answer"]["mean"], abs=0.1)
        of_sample = bench(client, Progressive(), 5.0, None, 5)
        assert of_sample["pictures"] == 5 and of_sample["accuracy"] == 1.0
