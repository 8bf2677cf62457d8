"""HTTP against callers that do not behave, and what it tells browsers: real servers, bytes by hand where need be."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx2
import pytest
import trustme

from inference_server.rest.guard import answers_to, name_of
from tests.inference_server.conftest import png
from tests.inference_server.serving import Running, serving
from wire.artifact import Artifact
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub as Stub

RED = png("red")
POST = b"POST /v1/predictions HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
HEADERS = ("content-security-policy", "referrer-policy", "x-content-type-options")


@contextlib.contextmanager
def connected(server: Running, sent: bytes = b"") -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.server.http_port), timeout=10) as connection:
        connection.sendall(sent)
        yield connection


def all_of(connection: socket.socket) -> bytes:
    """What comes until the server hangs up."""
    said = b""
    with contextlib.suppress(ConnectionResetError):
        while data := connection.recv(65536):
            said += data
    return said


@pytest.mark.parametrize("path", ["/", "/docs", "/v1/model", "/v1/model?model=none", "/metrics", "/none"])
def test_every_answer_tells_browsers_what_they_may(http: httpx2.Client, path: str) -> None:
    answer = http.get(path)
    assert all(name in answer.headers for name in HEADERS)
    assert answer.headers["x-content-type-options"] == "nosniff" and "server" not in answer.headers
    assert "strict-transport-security" not in answer.headers


def test_over_tls_browsers_are_told_to_stay_with_it(progressive: Artifact, tmp_path: Path) -> None:
    authority, certificate, key = trustme.CA(), tmp_path / "certificate.pem", tmp_path / "key.pem"
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(key)
    issued.cert_chain_pems[0].write_to_path(certificate)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    limits = {"connections": 2, "greeting_seconds": 0.3, "hsts_seconds": 60}
    with serving(progressive.folder, tls_certificate=certificate, tls_key=key, **limits) as server:
        with connected(server) as silent:
            assert all_of(silent) == b""  # the handshake, too, has its time
        silent_ones = [socket.create_connection(("127.0.0.1", server.server.http_port)) for _ in range(5)]
        url = f"https://localhost:{server.server.http_port}/healthz"
        answer = httpx2.get(url, headers={"Host": "artoveq.example.com"}, verify=context)
        for one in silent_ones:
            one.close()
        assert answer.status_code == 200
        assert answer.headers["strict-transport-security"] == "max-age=60"


def test_the_server_answers_to_its_own_names_alone(progressive: Artifact) -> None:
    with serving(progressive.folder, http_hosts="artoveq.example.com") as server:
        for host, status in (("artoveq.example.com", 200), ("stranger.example.com", 421), ("server:8080", 421)):
            assert httpx2.get(f"{server.url}/healthz", headers={"Host": host}).status_code == status
        answer = httpx2.get(f"{server.url}/healthz", headers={"Host": "a\x1b[2J"})
        assert "name it in ARTOVEQ_HTTP_HOSTS" in answer.json()["detail"] and "\x1b" not in answer.json()["detail"]


@pytest.mark.parametrize(
    ("host", "answered"),
    [
        ("10.0.0.7:8080", True),
        ("[::1]:8080", True),
        ("::1", True),
        ("LOCALHOST.", True),
        ("server:8080", True),
        ("camera.local", True),
        ("", True),
        ("stranger.example.com", False),
        ("local.example.com:80", False),
    ],
)
def test_without_a_list_nobody_elses_name_is_answered_to(host: str, answered: bool) -> None:
    assert answers_to(name_of(host), (), tls=False) == answered
    assert answers_to(name_of(host), (), tls=True)


@pytest.mark.parametrize(("proxies", "status"), [("", 429), ("127.0.0.1", 200)])
def test_a_header_says_who_calls_only_where_a_proxy_of_ours_sent_it(
    progressive: Artifact, proxies: str, status: int
) -> None:
    with serving(progressive.folder, rate_pictures=0.01, proxies=proxies) as server:
        statuses = [
            httpx2.post(f"{server.url}/v1/predictions", content=RED, headers={"X-Forwarded-For": host}).status_code
            for host in ("192.0.2.1", "192.0.2.2")
        ]
        assert statuses == [200, status]
        metadata, pieces = (("x-forwarded-for", "192.0.2.3"),), iter([pb.PredictPictureRequest(picture=RED)])
        with grpc.insecure_channel(server.address) as channel:
            try:
                Stub(channel).PredictPicture(pieces, metadata=metadata)
                assert status == 200
            except grpc.RpcError as error:
                assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and status == 429


@pytest.mark.slow
def test_a_proxy_of_ours_names_its_callers_certificates(progressive: Artifact) -> None:
    """On both ports, and to nobody's use who is no proxy, or where the operator did not say that proxies do so."""
    subject = {"x-forwarded-client-cert": 'By=spiffe://gate;Subject="CN=gate,O=farm"'}
    other = {"x-forwarded-client-cert": 'Subject="CN=forged",Hash=ab;Subject="CN=drone"'}

    def statuses(**settings: str) -> list[int]:
        with serving(progressive.folder, rate_pictures=0.01, **settings) as server:
            url = f"{server.url}/v1/predictions"
            found = [httpx2.post(url, content=RED, headers=sent).status_code for sent in (subject, other)]
            with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.RpcError) as refused:
                Stub(channel).PredictPicture(iter([pb.PredictPictureRequest(picture=RED)]), metadata=[*subject.items()])
            assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert ("CN=gate,O=farm may" in refused.value.details()) == (found == [200, 200])
            if found == [200, 200]:
                lied = httpx2.post(url, content=RED, headers={"x-forwarded-client-cert": 'Subject="CN=gate'})
                assert lied.status_code == 401 and "set the header anew" in lied.json()["detail"]
        return found

    header = "x-forwarded-client-cert"
    assert statuses(proxies="127.0.0.1", proxy_certificate_header=header) == [200, 200]
    assert statuses(proxies="127.0.0.1") == [200, 429]
    assert statuses(proxies="192.0.2.1", proxy_certificate_header=header) == [200, 429]


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
def test_headers_that_do_not_come_end_the_connection(progressive: Artifact, sent: bytes) -> None:
    with serving(progressive.folder, greeting_seconds=0.3) as server, connected(server, sent) as connection:
        assert all_of(connection) == b""


def test_a_second_request_has_a_deadline_too(progressive: Artifact) -> None:
    whole = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with serving(progressive.folder, greeting_seconds=0.3) as server, connected(server, whole + b"GET /") as connection:
        assert all_of(connection).count(b"HTTP/1.1") == 1


@pytest.mark.slow
def test_a_body_that_does_not_come_is_answered(progressive: Artifact) -> None:
    with (
        serving(progressive.folder, upload_seconds=0.3) as server,
        connected(server, POST + b"1000\r\n\r\nhalf") as connection,
    ):
        said = all_of(connection)
        assert said.startswith(b"HTTP/1.1 408") and b"did not arrive within 0.3 s" in said
        assert server.server.deployment.uploads.held == 0


@pytest.mark.slow
def test_a_body_that_is_announced_too_long_is_not_read(progressive: Artifact) -> None:
    with serving(progressive.folder) as server, connected(server, POST + b"99999999\r\n\r\n") as connection:
        said = all_of(connection)  # the server does not wait for the rest
        assert said.startswith(b"HTTP/1.1 413") and b"more than 16,777,216 bytes" in said


def test_an_answer_that_nobody_reads_ends_the_connection(progressive: Artifact) -> None:
    asked = b"GET /vendor/uPlot.iife.min.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200
    with serving(progressive.folder, upload_seconds=0.3) as server, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.server.http_port))
        client.sendall(asked)
        state = server.server._http.server_state
        until = time.monotonic() + 30
        while not state.connections and time.monotonic() < until:
            time.sleep(0.01)
        while state.connections and time.monotonic() < until:
            time.sleep(0.01)
        assert not state.connections


def test_of_too_many_connections_those_that_ask_are_heard(progressive: Artifact) -> None:
    with serving(progressive.folder, connections=8) as server:
        silent = [socket.create_connection(("127.0.0.1", server.server.http_port), timeout=10) for _ in range(40)]
        assert httpx2.get(f"{server.url}/healthz").json() == {"status": "ok"}
        assert all_of(silent[0]) == b""  # has waited longest
        for one in silent:
            one.close()
