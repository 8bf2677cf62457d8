"""Who may use the server, and how much: real certificates, real tokens, a real server."""

from __future__ import annotations

import os
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx2
import pytest
import trustme

from inference_server.access.contents import READ_AGAIN_S
from tests.inference_server.conftest import TOKEN, png
from tests.inference_server.serving import Running, serving
from tests.inference_server.test_stream import hello
from wire.artifact import Artifact
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub as Stub

RED = png("red")
LATER = READ_AGAIN_S + 1


@dataclass(frozen=True)
class Files:
    ca: Path
    certificate: Path
    key: Path
    edge_certificate: Path
    edge_key: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("certificates")
    found = Files(*(folder / f"{name}.pem" for name in ("ca", "server", "server-key", "edge", "edge-key")))
    issue(trustme.CA(), found)
    return found


def issue(authority: trustme.CA, found: Files) -> None:
    authority.cert_pem.write_to_path(found.ca)
    for issued, certificate, key in (
        (authority.issue_cert("localhost"), found.certificate, found.key),
        (authority.issue_cert("edge"), found.edge_certificate, found.edge_key),
    ):
        issued.private_key_pem.write_to_path(key)
        issued.cert_chain_pems[0].write_to_path(certificate)


def answered(channel: grpc.Channel, timeout: float = 20, token: str | None = None) -> str:
    """The class that the server names for a red picture."""
    metadata = [("authorization", f"Bearer {token}")] if token else None
    request = pb.PredictPictureRequest(picture=RED)
    answer = (
        Stub(channel).PredictPicture(iter([request]), timeout=timeout, metadata=metadata, wait_for_ready=True).answer
    )
    return str(answer.classification.classes[0].name)


def secure(server: Running, ca: Path, certificate: Path | None = None, key: Path | None = None) -> grpc.Channel:
    pair = (
        {"private_key": key.read_bytes(), "certificate_chain": certificate.read_bytes()} if certificate and key else {}
    )
    credentials = grpc.ssl_channel_credentials(ca.read_bytes(), **pair)
    return grpc.secure_channel(f"localhost:{server.server.port}", credentials)


def refusal(call: grpc.Channel, **options: str) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as refused:
        answered(call, timeout=0.5, **options)  # type: ignore[arg-type]
    code: grpc.StatusCode = refused.value.code()
    return code


def test_both_ports_speak_tls(progressive: Artifact, files: Files) -> None:
    with serving(progressive.folder, tls_certificate=files.certificate, tls_key=files.key) as server:
        with secure(server, files.ca) as channel:
            assert answered(channel) == "red"
        with grpc.insecure_channel(f"localhost:{server.server.port}") as channel:
            assert refusal(channel) in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        context = ssl.create_default_context(cafile=str(files.ca))
        answer = httpx2.get(f"https://localhost:{server.server.http_port}/readyz", verify=context)
        assert answer.json() == {"status": "ready"}
        with pytest.raises(httpx2.TransportError):
            httpx2.get(f"http://localhost:{server.server.http_port}/readyz")


def context_of(ca: Path, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca))
    if certificate and key:
        context.load_cert_chain(certificate, key)
    return context


@pytest.mark.slow
def test_mutual_tls_wants_a_certificate_on_both_ports(progressive: Artifact, files: Files) -> None:
    settings = {"tls_certificate": files.certificate, "tls_key": files.key, "tls_client_ca": files.ca}
    with serving(progressive.folder, **settings) as server:
        with secure(server, files.ca, files.edge_certificate, files.edge_key) as channel:
            assert answered(channel) == "red"
        with secure(server, files.ca) as channel:
            assert refusal(channel) in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        url = f"https://localhost:{server.server.http_port}"
        known = context_of(files.ca, files.edge_certificate, files.edge_key)
        with httpx2.Client(base_url=url, verify=known) as http:
            for path in ("/", "/v1/model", "/metrics", "/healthz"):
                assert http.get(path).status_code == 200
            assert http.post("/v1/predictions", content=RED).json()["classes"][0]["name"] == "red"
        for path in ("/", "/v1/model", "/metrics"):
            with pytest.raises(httpx2.TransportError):
                httpx2.get(url + path, verify=context_of(files.ca))


@pytest.mark.slow
def test_certificates_that_change_are_taken_by_new_connections(progressive: Artifact, tmp_path: Path) -> None:
    """On both ports, and the authority of the edges' with them; files that do not belong together are left."""
    here = Files(*(tmp_path / f"{name}.pem" for name in ("ca", "server", "server-key", "edge", "edge-key")))
    old, new = trustme.CA(), trustme.CA()
    issue(old, here)
    settings = {"tls_certificate": here.certificate, "tls_key": here.key, "tls_client_ca": here.ca}
    before = Files(*(tmp_path / f"old-{name}.pem" for name in ("ca", "server", "server-key", "edge", "edge-key")))
    issue(old, before)

    def both(files: Files) -> bool:
        try:
            verify = context_of(files.ca, files.edge_certificate, files.edge_key)
            httpx2.get(f"https://localhost:{server.server.http_port}/healthz", verify=verify)
            with secure(server, files.ca, files.edge_certificate, files.edge_key) as channel:
                Stub(channel).DescribeModel(pb.DescribeModelRequest(), timeout=2)
        except (httpx2.TransportError, grpc.RpcError):
            return False
        return True

    with serving(progressive.folder, **settings) as server:
        assert both(here)
        here.key.write_text("no key")
        time.sleep(2 * READ_AGAIN_S)
        assert both(before)
        issue(new, here)
        until = time.monotonic() + 10
        while not both(here):
            assert time.monotonic() < until
        assert not both(before)
        with pytest.raises(httpx2.TransportError):  # an edge of the old authority, who trusts the new server
            verify = context_of(here.ca, before.edge_certificate, before.edge_key)
            httpx2.get(f"https://localhost:{server.server.http_port}/healthz", verify=verify)


def test_a_token_opens_both_ports(progressive: Artifact, tokens: Path) -> None:
    with serving(progressive.folder, tokens_file=tokens) as server, grpc.insecure_channel(server.address) as channel:
        assert answered(channel, token=TOKEN) == "red"
        assert refusal(channel, token="x" * 32) == grpc.StatusCode.UNAUTHENTICATED
        stub = Stub(channel)
        for call in (
            lambda: stub.Predict(pb.PredictRequest()),
            lambda: stub.PredictPicture(iter([pb.PredictPictureRequest()])),
            lambda: stub.DescribeModel(pb.DescribeModelRequest()),
            lambda: list(stub.FetchFile(pb.FetchFileRequest())),
            lambda: list(stub.Stream(iter([]))),
        ):
            with pytest.raises(grpc.RpcError, match="wants a token") as refused:
                call()
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
        with httpx2.Client(base_url=server.url) as http:
            assert http.get("/healthz").status_code == http.get("/readyz").status_code == 200
            for path in ("/v1/model", "/v1/models", "/v1/edges", "/metrics"):
                answer = http.get(path)
                assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
            assert http.post("/v1/predictions", content=RED).status_code == 401
            for headers in ({"Authorization": f"Bearer {TOKEN}"}, {"Cookie": f"artoveq_token={TOKEN}"}):
                answer = http.post("/v1/predictions", content=RED, headers=headers)
                assert answer.json()["classes"][0]["name"] == "red"


@pytest.mark.slow
def test_a_token_that_is_struck_out_ends_what_it_had_opened(progressive: Artifact, tokens: Path) -> None:
    """Streams and pages, although the file has the size and the times that it had; the name's other token goes on."""
    other = TOKEN[::-1]
    tokens.write_text(f"gate: {TOKEN}\ngate: {other}\n")
    with serving(progressive.folder, tokens_file=tokens) as server, grpc.insecure_channel(server.address) as channel:
        streams = []
        for token in (TOKEN, other):
            metadata = [("authorization", f"Bearer {token}")]
            streams.append(Stub(channel).Stream(_kept_open(hello(progressive)), metadata=metadata))
            assert next(streams[-1]).HasField("welcome")
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx2.stream("GET", f"{server.url}/v1/edges", headers=headers, timeout=5) as page:
            lines = page.iter_lines()
            assert next(lines).startswith("retry")
            was = tokens.stat()
            tokens.write_text(f"gate: {'x' * len(TOKEN)}\ngate: {other}\n")
            os.utime(tokens, ns=(was.st_atime_ns, was.st_mtime_ns))
            with pytest.raises(grpc.RpcError, match="no longer has this token of gate") as ended:
                next(streams[0])
            assert ended.value.code() == grpc.StatusCode.UNAUTHENTICATED
            list(lines)  # it ends, and the connection with it
            assert page.headers["connection"] == "close"
        assert answered(channel, token=other) == "red"
        streams[1].cancel()


def test_a_key_behind_one_address_has_the_answer_to_its_own_picture_alone(progressive: Artifact) -> None:
    with (
        serving(progressive.folder) as server,
        grpc.insecure_channel(server.address) as one,
        grpc.insecure_channel(server.address) as other,
    ):
        asked = pb.PredictRequest(fingerprint=progressive.manifest.fingerprint, point=3, data=bytes(4), key=b"key")
        first = Stub(one).Predict(asked).answer
        asked.data = b"\xff" * 4
        with pytest.raises(grpc.RpcError, match="key has been used for another picture") as refused:
            Stub(other).Predict(asked)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        asked.data = bytes(4)
        assert Stub(other).Predict(asked).answer == first


def test_one_caller_leaves_pages_to_others(progressive: Artifact, tokens: Path) -> None:
    other = TOKEN[::-1]
    tokens.write_text(f"gate: {TOKEN}\ndrone: {other}\n")
    with serving(progressive.folder, tokens_file=tokens, caller_viewers=1) as server, httpx2.Client() as http:

        def page(token: str) -> httpx2.Response:
            headers = {"Authorization": f"Bearer {token}"}
            return http.send(http.build_request("GET", f"{server.url}/v1/edges", headers=headers), stream=True)

        lines = page(TOKEN).iter_lines()
        next(lines)
        refused = page(TOKEN)
        assert refused.status_code == 429 and "gate has 1 pages open" in refused.read().decode()
        assert page(other).status_code == 200


def test_a_caller_may_send_so_many_pictures_a_second(progressive: Artifact) -> None:
    with serving(progressive.folder, rate_pictures=0.01) as server:
        with grpc.insecure_channel(server.address) as channel:
            assert answered(channel) == "red"
            with pytest.raises(grpc.RpcError, match=r"may send 0\.01 pictures a second") as refused:
                answered(channel)
            assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            wait = int(dict(refused.value.trailing_metadata())["retry-after-ms"])
            assert 90_000 < wait <= 100_000
        answer = httpx2.post(f"{server.url}/v1/predictions", content=RED)
        assert answer.status_code == 429 and 90 < int(answer.headers["retry-after"]) <= 100


def test_a_caller_may_have_so_many_streams(progressive: Artifact) -> None:
    with serving(progressive.folder, caller_streams=1) as server, grpc.insecure_channel(server.address) as channel:
        first = Stub(channel).Stream(_kept_open(hello(progressive)))
        assert next(first).HasField("welcome")
        with pytest.raises(grpc.RpcError, match="1 streams open") as refused:
            list(Stub(channel).Stream(iter([hello(progressive)])))
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        first.cancel()
        assert answered(channel) == "red"


def _kept_open(*requests: pb.StreamRequest) -> Iterator[pb.StreamRequest]:
    """These messages, and nothing more for longer than a test takes."""
    yield from requests
    threading.Event().wait(5)


def test_an_idle_stream_is_ended(progressive: Artifact) -> None:
    with serving(progressive.folder, idle_seconds=0.2) as server, grpc.insecure_channel(server.address) as channel:
        responses = list(Stub(channel).Stream(_kept_open(hello(progressive))))
        assert [one.WhichOneof("message") for one in responses] == ["welcome"]


def test_a_stream_without_a_hello_is_ended(progressive: Artifact) -> None:
    with serving(progressive.folder, greeting_seconds=0.2) as server, grpc.insecure_channel(server.address) as channel:
        with pytest.raises(grpc.RpcError, match="did not arrive within") as ended:
            list(Stub(channel).Stream(_kept_open()))
        assert ended.value.code() == grpc.StatusCode.INVALID_ARGUMENT
