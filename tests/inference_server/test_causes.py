"""Whoever comes with the wrong port, the wrong scheme or the wrong certificate is told which it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme

from artoveq import AccessDenied, ArtoveqError, Client, Security, ServerUnavailable
from edge_client.errors import CANCELLED, UNAVAILABLE, status_error
from tests.inference_server.serving import Running, serving
from wire.artifact import Artifact
from wire.exceptions import ServerError

TOKEN = "a-token-of-twenty-ch"


def issue(authority: trustme.CA, folder: Path, name: str) -> dict[str, Path]:
    """Settings of a server with a certificate for this name."""
    issued, certificate, key = authority.issue_cert(name), folder / "certificate", folder / "key"
    folder.mkdir()
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    return {"tls_certificate": certificate, "tls_key": key}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    made, file = trustme.CA(), tmp_path_factory.mktemp("authority") / "ca.pem"
    made.cert_pem.write_to_path(file)
    return made, file


@pytest.fixture(scope="module")
def servers(
    progressive: Artifact, authority: tuple[trustme.CA, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Running]]:
    made, _ = authority
    folder = tmp_path_factory.mktemp("servers")
    (folder / "tokens").write_text(f"gate:{TOKEN}\n")
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(serving(progressive.folder, **settings))
            for name, settings in {
                "plain": {"tokens_file": folder / "tokens"},
                "tls": issue(made, folder / "tls", "localhost"),
            }.items()
        }


@pytest.mark.parametrize(
    ("server", "port", "tls", "said"),
    [
        ("plain", "port", True, "does not speak TLS"),
        ("plain", "http_port", False, "is a port of HTTP, not of gRPC"),
        ("tls", "port", False, r"speaks TLS alone \(--tls\)"),
        ("tls", "http_port", True, "is a port of HTTP, not of gRPC"),
    ],
)
def test_the_cause_is_named(
    servers: dict[str, Running], authority: tuple[trustme.CA, Path], server: str, port: str, tls: bool, said: str
) -> None:
    address = f"localhost:{getattr(servers[server].server, port)}"
    security = Security(tls=True, ca_file=authority[1]) if tls else Security()
    error = failure(address, security)
    assert isinstance(error, ServerUnavailable)
    with pytest.raises(ServerUnavailable, match=said):
        raise error
    assert address in str(error) and "SSL" not in str(error)


@pytest.mark.parametrize(("token", "said"), [(None, "wants a token"), ("another", "does not know the token")])
def test_a_wrong_token_is_named(servers: dict[str, Running], token: str | None, said: str) -> None:
    error = failure(f"localhost:{servers['plain'].server.port}", Security(token=token))
    assert isinstance(error, AccessDenied) and said in str(error)


def test_a_wrong_address_is_named() -> None:
    assert "nobody listens there" in str(failure("localhost:9"))
    assert "names no port; write localhost:50051" in str(failure("localhost"))
    assert "There is no host of the name" in str(failure("nowhere.invalid:50051"))


@pytest.mark.parametrize(
    ("details", "said"),
    [
        ("Cannot check peer: missing selected ALPN property.", "is a port of HTTP, not of gRPC"),
        (
            "Tls handshake failed: SSL_ERROR_SSL: CERTIFICATE_VERIFY_FAILED: certificate has expired: OK",
            "not valid today",
        ),
        ("CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate: OK", r"\(--ca-file\)"),
        ("UNAUTHENTICATED: Hostname Verification Check failed.", "is for another name"),
        ("Something new", r"No server answers at edge:1 \(failed to connect to all addresses.*Something new\)"),
    ],
)
def test_what_grpc_says_of_a_connection_becomes_a_sentence(details: str, said: str) -> None:
    error = status_error(UNAVAILABLE, f"failed to connect to all addresses; last error: UNKNOWN: {details}", "edge:1")
    assert isinstance(error, ServerUnavailable) and re.search(said, str(error))


def failure(address: str, security: Security = Security()) -> ArtoveqError:  # noqa: B008 (frozen)
    with pytest.raises(ArtoveqError) as failed, Client(address, security=security):
        pass
    return failed.value


@pytest.mark.parametrize("code", [2, 13, CANCELLED])
def test_a_server_that_died_behind_a_proxy_is_asked_again(code: int) -> None:
    """nginx and HAProxy reset a stream whose server is gone, and gRPC makes of that what it likes."""
    details = "Stream removed (RST_STREAM (Received RST_STREAM with error code 2))"
    assert isinstance(status_error(code, details, "edge:1"), ServerUnavailable)
    assert type(status_error(13, "a fault", "edge:1")) is ServerError
