"""The probe of Docker's health check: plain, over TLS, and where the server wants certificates."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import trustme

from inference_server.health import fault, of_environment
from tests.inference_server.serving import serving
from wire.artifact import Artifact


def test_a_server_that_takes_work_and_one_that_stops(progressive: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(progressive.folder, host="::") as running:
        port = running.server.http_port
        assert fault("127.0.0.1", port, None, None) is None
        monkeypatch.setenv("ARTOVEQ_HOST", "::")
        monkeypatch.setenv("ARTOVEQ_HTTP_PORT", str(port))
        assert of_environment() is None
        running.server.deployment.leaving = True
        assert "takes no work (status 503)" in (of_environment() or "")


def test_nobody_answers() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert "No server answers" in (fault("127.0.0.1", unused.getsockname()[1], None, None) or "")


@pytest.mark.parametrize("edges", ["without certificates", "of the server's authority", "of another authority"])
def test_over_tls(progressive: Artifact, tmp_path: Path, edges: str) -> None:
    ours, other = trustme.CA(), trustme.CA()
    pair = ours.issue_cert("server.example")
    certificate, key, client_ca = (tmp_path / name for name in ("server.pem", "key.pem", "ca.pem"))
    for blob in pair.cert_chain_pems:
        blob.write_to_path(certificate, append=True)
    pair.private_key_pem.write_to_path(key)
    (ours if edges == "of the server's authority" else other).cert_pem.write_to_path(client_ca)
    settings = {"tls_certificate": certificate, "tls_key": key}
    if edges != "without certificates":
        settings["tls_client_ca"] = client_ca
    with serving(progressive.folder, **settings) as running:
        assert fault("127.0.0.1", running.server.http_port, str(certificate), str(key)) is None
        assert fault("127.0.0.1", running.server.http_port, None, None) is not None
