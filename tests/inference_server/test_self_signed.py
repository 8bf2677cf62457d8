"""The certificate that a server makes itself, and who is told of it."""

from __future__ import annotations

import hashlib
import ssl
from datetime import datetime, timedelta, timezone
from pathlib import Path

import grpc
import httpx2
import pytest

from inference_server.page.address import edge_address
from inference_server.self_signed import fingerprint_of, own_addresses, own_names, self_signed
from inference_server.settings import read_settings
from tests.inference_server.conftest import TOKEN
from tests.inference_server.serving import serving
from wire.artifact import Artifact
from wire.exceptions import SettingsError
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub as Stub

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


def test_it_stays_until_it_does_no_more(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path / "tls", ["localhost", "10.0.0.7"], NOW)
    first = fingerprint_of(certificate)
    assert key.stat().st_mode & 0o777 == 0o600

    def after(names: list[str], days: int) -> str:
        self_signed(tmp_path / "tls", names, NOW + timedelta(days=days))
        return fingerprint_of(certificate)

    assert after(["10.0.0.7"], 300) == first
    assert after(["10.0.0.7", "10.0.0.8"], 300) != first
    second = fingerprint_of(certificate)
    assert after(["10.0.0.8"], 600) == second
    assert after(["10.0.0.8"], 640) != second  # it ends 665 days after the first
    certificate.write_text("no certificate")
    assert len(after(["10.0.0.8"], 640)) == 95


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="set XDG_STATE_HOME"):
        self_signed(tmp_path / "file" / "tls", ["localhost"])


def test_both_ports_speak_tls_with_it(progressive: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    file = tmp_path / "artoveq" / "tls" / "certificate.pem"
    with serving(progressive.folder, tls_self_signed=True) as server:
        url = server.url.replace("http", "https")
        trusting = ssl.create_default_context(cafile=str(file))
        answer = httpx2.get(f"{url}/edge/address", verify=trusting)
        assert "strict-transport-security" not in answer.headers  # no browser is bound to it
        assert answer.json()["certificate"] == fingerprint_of(file)
        shown = ssl.get_server_certificate(("127.0.0.1", server.server.http_port))
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(shown)).hexdigest().upper()
        assert answer.json()["certificate"].replace(":", "") == digest
        assert answer.json()["qr"].startswith("data:image/svg+xml")
        trusted = grpc.ssl_channel_credentials(file.read_bytes())
        with grpc.secure_channel(server.address.replace("127.0.0.1", "localhost"), trusted) as channel:
            described = Stub(channel).DescribeModel(pb.DescribeModelRequest())
            assert described.fingerprint == progressive.manifest.fingerprint


def test_a_certificate_that_is_named_is_taken(progressive: Artifact, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path, ["localhost"])
    settings = read_settings(
        model=progressive.folder, tls_self_signed=True, tls_certificate=certificate, tls_key=key, hsts_seconds=7
    )
    assert (settings.tls_certificate, settings.hsts_seconds) == (certificate, 7)


def test_a_phone_is_sent_where_it_can_reach_us() -> None:
    address = next(iter(own_addresses()), "127.0.0.1")
    for host in ("localhost:8080", "127.0.0.1:8080", "[::1]:8080"):
        assert edge_address("https", host, 8080) in (f"https://{address}:8080/edge", f"https://[{address}]:8080/edge")
    assert edge_address("https", "gate.local:8080", 8080) == "https://gate.local:8080/edge"
    assert {"localhost", "127.0.0.1", address} <= {*own_names()}


def test_the_address_wants_a_token_where_all_does(progressive: Artifact, tokens: Path) -> None:
    with serving(progressive.folder, tokens_file=tokens) as server:
        assert httpx2.get(f"{server.url}/edge/address").status_code == 401
        answer = httpx2.get(f"{server.url}/edge/address", headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.json()["certificate"] is None
