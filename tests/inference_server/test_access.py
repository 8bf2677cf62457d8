"""Who may use the server, and how much: real certificates, real tokens, a real server."""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import pytest
import trustme

from inference_server.access import Access
from inference_server.access.tokens import READ_AGAIN_S, read_tokens
from inference_server.rpc.service import peer_host
from inference_server.settings import Settings, read_settings
from tests.inference_server.conftest import png
from tests.inference_server.serving import Running, serving
from tests.inference_server.test_stream import hello
from wire.artifact import Artifact
from wire.exceptions import AccessDenied, ServerOverloaded, SettingsError
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub as Stub

TOKEN = "0123456789abcdef0123456789abcdef"
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
    authority = trustme.CA()
    authority.cert_pem.write_to_path(found.ca)
    for issued, certificate, key in (
        (authority.issue_cert("localhost"), found.certificate, found.key),
        (authority.issue_cert("edge"), found.edge_certificate, found.edge_key),
    ):
        issued.private_key_pem.write_to_path(key)
        issued.cert_chain_pems[0].write_to_path(certificate)
    return found


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f"# who may come in\ngate: {TOKEN}\n")
    return path


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
        answer = httpx.get(f"https://localhost:{server.server.http_port}/readyz", verify=context)
        assert answer.json() == {"status": "ready"}
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://localhost:{server.server.http_port}/readyz")


def test_mutual_tls_wants_a_certificate(progressive: Artifact, files: Files) -> None:
    settings = {"tls_certificate": files.certificate, "tls_key": files.key, "tls_client_ca": files.ca}
    with serving(progressive.folder, **settings) as server:
        with secure(server, files.ca, files.edge_certificate, files.edge_key) as channel:
            assert answered(channel) == "red"
        with secure(server, files.ca) as channel:
            assert refusal(channel) in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


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
        with httpx.Client(base_url=server.url) as http:
            assert http.get("/healthz").status_code == http.get("/readyz").status_code == 200
            for path in ("/v1/model", "/v1/models", "/v1/edges", "/metrics"):
                answer = http.get(path)
                assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
            assert http.post("/v1/predictions", content=RED).status_code == 401
            for headers in ({"Authorization": f"Bearer {TOKEN}"}, {"Cookie": f"artoveq_token={TOKEN}"}):
                answer = http.post("/v1/predictions", content=RED, headers=headers)
                assert answer.json()["classes"][0]["name"] == "red"


def test_a_caller_may_send_so_many_pictures_a_second(progressive: Artifact) -> None:
    with serving(progressive.folder, rate_pictures=0.01) as server:
        with grpc.insecure_channel(server.address) as channel:
            assert answered(channel) == "red"
            with pytest.raises(grpc.RpcError, match=r"may send 0\.01 pictures a second") as refused:
                answered(channel)
            assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            wait = int(dict(refused.value.trailing_metadata())["retry-after-ms"])
            assert 90_000 < wait <= 100_000
        answer = httpx.post(f"{server.url}/v1/predictions", content=RED)
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


def access(**settings: object) -> Access:
    return Access(Settings(model="nowhere", **settings))  # type: ignore[arg-type]


def test_an_allowance_fills_up_again() -> None:
    one = access(rate_pictures=2)
    one.spend("a", 0.0)
    one.spend("a", 0.0)
    with pytest.raises(ServerOverloaded) as full:
        one.spend("a", 0.1)
    assert full.value.retry_after == pytest.approx(0.4)
    one.spend("b", 0.1)  # somebody else's is untouched
    one.spend("a", 0.5)
    with pytest.raises(ServerOverloaded):
        one.spend("a", 0.5)


def test_less_than_one_picture_a_second_is_possible() -> None:
    one = access(rate_pictures=0.1)
    one.spend("a", 0.0)
    with pytest.raises(ServerOverloaded):
        one.spend("a", 9.0)
    one.spend("a", 10.1)


@pytest.mark.parametrize("line", ["gate", "gate:short", ":0123456789abcdef"])
def test_a_tokens_file_of_another_form_is_refused_without_being_quoted(tmp_path: Path, line: str) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"# comment\n{line}\n")
    with pytest.raises(SettingsError, match=r"Line 2 of .* is not NAME:TOKEN") as refused:
        read_tokens(path)
    assert line not in str(refused.value)


def test_tokens_files_that_let_nobody_in_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_tokens(tmp_path / "gone")
    (tmp_path / "empty").write_text("# nobody\n")
    with pytest.raises(SettingsError, match="no token in it"):
        read_tokens(tmp_path / "empty")


def test_a_tokens_file_that_changes_is_read_again(
    tokens: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    versions = iter(range(10))
    monkeypatch.setattr("inference_server.access.tokens._version", lambda _: next(versions))
    monkeypatch.setattr("inference_server.access.access.time.monotonic", lambda: 0.0)
    one, other = access(tokens_file=tokens), "another-long-token"
    one.spend("gate", 0.0)
    with pytest.raises(AccessDenied, match="does not know"):
        one.caller(f"Bearer {other}", "host", 0.1)
    tokens.write_text(f"drone: {other}\n")
    with pytest.raises(AccessDenied, match="does not know"):
        one.caller(f"Bearer {other}", "host", 0.2)  # it is looked at once a second
    assert one.caller(f"Bearer {other}", "host", LATER) == "drone"
    with pytest.raises(AccessDenied, match="does not know"):
        one.caller(f"Bearer {TOKEN}", "host", LATER)
    with pytest.raises(AccessDenied, match="no longer has a token of gate"):
        one.spend("gate", LATER)  # on a stream that is open
    tokens.write_text("drone\n")
    assert one.caller(f"Bearer {other}", "host", 2 * LATER) == "drone"
    assert "stay as they were" in caplog.text and other not in caplog.text


def test_no_token_is_ever_shown(tokens: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    one = access(tokens_file=tokens)
    assert one.caller(f"Bearer {TOKEN}", "host", 0.0) == "gate"
    with pytest.raises(AccessDenied) as refused:
        one.caller(f"Bearer {TOKEN}x", "host", 0.0)
    shown = [str(refused.value), repr(vars(one)), repr(vars(one._tokens)), caplog.text]
    assert not any(TOKEN in text for text in shown)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tls_certificate": "c.pem"}, "a certificate and its key"),
        ({"tls_key": "k.pem"}, "a certificate and its key"),
        ({"tls_client_ca": "ca.pem"}, "over TLS"),
    ],
)
def test_half_of_tls_is_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        read_settings(model="nowhere", **given)


def test_callers_without_tokens_are_their_hosts() -> None:
    assert peer_host("ipv4:10.0.0.7:50123") == "10.0.0.7" == access().caller(None, "10.0.0.7", 0.0)
    assert peer_host("ipv6:[::1]:50123") == "::1" == peer_host("ipv6:%5B::1%5D:50123")
    assert peer_host("ipv6:%5B::ffff:10.0.0.7%5D:50123") == "10.0.0.7"
