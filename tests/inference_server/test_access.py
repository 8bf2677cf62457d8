"""Who may use the server, and how much: real certificates, real tokens, a real server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import pytest
import trustme

from artoveq.processes import ServerProcess, server_process
from edge_client import AsyncClient, Client, Security
from inference_server.access import Access, read_tokens
from inference_server.settings import Settings, read_settings
from tests.conftest import MODEL, PICTURES
from wire.exceptions import AccessDenied, ServerOverloaded, ServerUnavailable, SettingsError
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceStub
from wire.pictures import read_picture

TOKEN = "0123456789abcdef0123456789abcdef"
DINGO = PICTURES / "dingo.png"


@dataclass(frozen=True)
class Files:
    authority: Path
    certificate: Path
    key: Path
    edge_certificate: Path
    edge_key: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("certificates")
    found = Files(*(folder / f"{name}.pem" for name in ("ca", "server", "server-key", "edge", "edge-key")))
    authority = trustme.CA()
    authority.cert_pem.write_to_path(found.authority)
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


@contextlib.contextmanager
def serving(patch: pytest.MonkeyPatch, **settings: object) -> Iterator[ServerProcess]:
    for name, value in settings.items():
        patch.setenv(f"ARTOVEQ_{name.upper()}", str(value))
    with server_process(MODEL) as server:
        yield server


def classified(server: ServerProcess, security: Security, model: str | None = str(MODEL)) -> str:
    with Client(f"localhost:{server.port}", model, security=security) as client:
        return client.predict(read_picture(DINGO), budget=5).best.name


def test_both_ports_speak_tls(monkeypatch: pytest.MonkeyPatch, files: Files) -> None:
    with serving(monkeypatch, tls_certificate=files.certificate, tls_key=files.key) as server:
        trusting = Security(tls=True, authority=files.authority)
        assert classified(server, trusting, None) == "dingo"
        for other in (Security(), Security(tls=True)):  # plain, and an authority that it does not know
            with pytest.raises(ServerUnavailable):
                classified(server, other)
        context = ssl.create_default_context(cafile=str(files.authority))
        answer = httpx.get(f"https://localhost:{server.http_port}/readyz", verify=context)
        assert answer.json() == {"status": "ready"}
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://localhost:{server.http_port}/readyz")


def test_mutual_tls_wants_a_certificate(monkeypatch: pytest.MonkeyPatch, files: Files) -> None:
    settings = {"tls_certificate": files.certificate, "tls_key": files.key, "tls_client_ca": files.authority}
    with serving(monkeypatch, **settings) as server:
        known = Security(True, files.authority, files.edge_certificate, files.edge_key)
        assert classified(server, known) == "dingo"
        with pytest.raises(ServerUnavailable):
            classified(server, Security(tls=True, authority=files.authority))


def test_a_token_opens_both_ports(monkeypatch: pytest.MonkeyPatch, tokens: Path) -> None:
    with serving(monkeypatch, tokens_file=tokens) as server:
        assert classified(server, Security(token=TOKEN), None) == "dingo"
        for security in (Security(), Security(token="x" * 32)):
            with pytest.raises(AccessDenied, match="token"):
                classified(server, security, None)
            with pytest.raises(AccessDenied, match="token"):
                classified(server, security)
        with grpc.insecure_channel(server.address) as channel:
            stub = RemoteInferenceStub(channel)
            for call in (
                lambda: stub.Predict(pb.PredictRequest()),
                lambda: stub.PredictPicture(pb.PredictPictureRequest()),
                lambda: stub.DescribeModel(pb.DescribeModelRequest()),
                lambda: list(stub.FetchFile(pb.FetchFileRequest())),
                lambda: list(stub.Stream(iter([]))),
            ):
                with pytest.raises(grpc.RpcError) as refused:
                    call()
                assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
        with httpx.Client(base_url=f"http://127.0.0.1:{server.http_port}") as http:
            assert http.get("/healthz").status_code == http.get("/readyz").status_code == 200
            for path in ("/v1/model", "/v1/edges", "/metrics"):
                refusal = http.get(path)
                assert refusal.status_code == 401 and refusal.headers["www-authenticate"] == "Bearer"
            assert http.post("/v1/predictions", content=DINGO.read_bytes()).status_code == 401
            header, cookie = {"Authorization": f"Bearer {TOKEN}"}, {"Cookie": f"artoveq_token={TOKEN}"}
            for headers in (header, cookie):
                answer = http.post("/v1/predictions", content=DINGO.read_bytes(), headers=headers)
                assert answer.json()["classes"][0]["name"] == "dingo"


def test_a_caller_may_send_so_many_pictures_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(monkeypatch, rate_pictures=2) as server:
        with Client(server.address, str(MODEL)) as client:
            picture = read_picture(DINGO)
            with pytest.raises(ServerOverloaded, match="may send 2 pictures a second"):
                for _ in range(20):
                    client.predict(picture, budget=1)
        url = f"http://127.0.0.1:{server.http_port}/v1/predictions"
        answers = [httpx.post(url, content=DINGO.read_bytes()) for _ in range(10)]
        assert 429 in {a.status_code for a in answers}
        assert all(a.headers.get("retry-after") == "1" for a in answers if a.status_code == 429)


def test_a_caller_may_have_so_many_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(monkeypatch, caller_streams=1) as server:
        with (
            Client(server.address, str(MODEL)),
            pytest.raises(ServerOverloaded, match="1 streams open"),
            Client(server.address, str(MODEL)),
        ):
            pass
        assert classified(server, Security()) == "dingo"  # the first one has gone


def test_an_idle_stream_is_ended_and_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(address: str) -> None:
        async with AsyncClient(address, str(MODEL)) as client:
            await client.predict(read_picture(DINGO), budget=5)
            first = client._stream
            assert first is not None
            for _ in range(100):
                if first.broken:
                    break
                await asyncio.sleep(0.1)
            assert first.broken
            assert (await client.predict(read_picture(DINGO), budget=5)).best.name == "dingo"

    with serving(monkeypatch, idle_seconds=1) as server:
        asyncio.run(run(server.address))


def test_a_stream_without_a_hello_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(address: str) -> grpc.StatusCode:
        async with grpc.aio.insecure_channel(address) as channel:
            call = RemoteInferenceStub(channel).Stream()  # type: ignore[no-untyped-call]
            with pytest.raises(grpc.RpcError, match="must be `hello`"):
                await call.read()
            code: grpc.StatusCode = await call.code()
            return code

    with serving(monkeypatch, idle_seconds=0.5) as server:
        assert asyncio.run(run(server.address)) == grpc.StatusCode.INVALID_ARGUMENT


def access(**settings: object) -> Access:
    return Access(Settings(model=MODEL, **settings))  # type: ignore[arg-type]


def test_an_allowance_fills_up_again() -> None:
    one = access(rate_pictures=2)
    one.spend("a", 0.0)
    one.spend("a", 0.0)
    with pytest.raises(ServerOverloaded):
        one.spend("a", 0.1)
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
    assert line.partition(":")[2] in ("", "short") or line.partition(":")[2] not in str(refused.value)


def test_tokens_files_that_let_nobody_in_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_tokens(tmp_path / "gone")
    (tmp_path / "empty").write_text("# nobody\n")
    with pytest.raises(SettingsError, match="no token in it"):
        read_tokens(tmp_path / "empty")


def test_a_tokens_file_that_changes_is_read_again(
    tokens: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("inference_server.access.READ_AGAIN_S", 0.0)
    one, other = access(tokens_file=tokens), "another-long-token"
    one.spend("gate")
    with pytest.raises(AccessDenied, match="does not know"):
        one.caller(f"Bearer {other}", "host")
    tokens.write_text(f"drone: {other}\n")
    assert one.caller(f"Bearer {other}", "host") == "drone"
    with pytest.raises(AccessDenied, match="does not know"):
        one.caller(f"Bearer {TOKEN}", "host")
    with pytest.raises(AccessDenied, match="no longer has a token of gate"):
        one.spend("gate")  # on a stream that is open
    tokens.write_text("drone\n")
    assert one.caller(f"Bearer {other}", "host") == "drone"
    assert "stay as they were" in caplog.text and other not in caplog.text


def test_no_token_is_ever_shown(tokens: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    one = access(tokens_file=tokens)
    assert one.caller(f"Bearer {TOKEN}", "host") == "gate"
    with pytest.raises(AccessDenied) as refused:
        one.caller(f"Bearer {TOKEN}x", "host")
    shown = [str(refused.value), repr(vars(one)), repr(Security(token=TOKEN)), caplog.text]
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
        read_settings(model=MODEL, **given)


def test_files_that_are_not_there_are_named(files: Files) -> None:
    for security, said in (
        (Security(tls=True, authority=Path("gone.pem")), "gone.pem cannot be read"),
        (Security(tls=True, certificate=files.edge_certificate), "a certificate and its key"),
        (Security(authority=files.authority), "Certificates are for TLS"),
    ):
        with pytest.raises(SettingsError, match=said):
            security.open("localhost:1")
