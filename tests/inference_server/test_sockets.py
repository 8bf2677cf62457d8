"""The stream over a WebSocket: the wire's rules as over gRPC, and callers that do not behave."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx2
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from inference_server.rest import sockets
from inference_server.rest.sockets import MOST_FRAMES
from inference_server.rest.streaming import PROTOCOL
from tests.inference_server.conftest import TOKEN, png
from tests.inference_server.serving import Running, serving
from tests.inference_server.test_stream import PLANE, TOP, best, failures, finals, hello, payload, planes
from wire.artifact import Artifact
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub as Stub

PATIENCE_S = 10
HALF_CLOSE = b""


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "LINGER_S", 0.3)


def opened(server: Running, **how: object) -> ClientConnection:
    return connect(
        f"{server.url.replace('http', 'ws', 1)}/v1/stream",
        proxy=None,
        open_timeout=PATIENCE_S,
        close_timeout=PATIENCE_S,
        **how,  # type: ignore[arg-type]
    )


def rest_of(stream: ClientConnection) -> list[pb.StreamResponse]:
    """All that is said until the other side closes."""
    said = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            said.append(response(stream))
    return said


def response(stream: ClientConnection) -> pb.StreamResponse:
    data = stream.recv(PATIENCE_S)
    assert isinstance(data, bytes)
    return pb.StreamResponse.FromString(data)


def exchange(server: Running, *requests: pb.StreamRequest, **how: object) -> tuple[list[pb.StreamResponse], int, str]:
    """What is said to these, and how it is closed: code and reason."""
    with opened(server, **how) as stream:
        with contextlib.suppress(ConnectionClosed):
            for request in requests:
                stream.send(request.SerializeToString())
            stream.send(HALF_CLOSE)
        said = rest_of(stream)
        return said, stream.close_code or 0, stream.close_reason or ""


@contextlib.contextmanager
def begun(server: Running, artifact: Artifact, **how: object) -> Iterator[ClientConnection]:
    with opened(server, **how) as stream:
        stream.send(hello(artifact).SerializeToString())
        assert response(stream).HasField("welcome")
        yield stream


def test_it_answers_as_over_grpc(server: Running, progressive: Artifact) -> None:
    requests = [hello(progressive), planes(1, 1, 3, PLANE * 3), planes(1, 4, 5, PLANE * 5), payload(2, 900, b"")]
    said, code, _ = exchange(server, *requests)
    with grpc.insecure_channel(server.address) as channel:
        over_grpc = list(Stub(channel).Stream(iter(requests)))
    assert code == 1000
    assert said[0] == over_grpc[0]
    assert [r.receipt.planes for r in said if r.HasField("receipt")] == [3, 8, 0]
    assert failures(said) == failures(over_grpc) == [(2, grpc.StatusCode.INVALID_ARGUMENT.value[0])]
    assert best(finals(said)[1]) == best(finals(over_grpc)[1]) and finals(said)[1].point == TOP


def test_a_subprotocol_is_chosen_where_it_is_offered(server: Running) -> None:
    with opened(server, subprotocols=["other", PROTOCOL]) as stream:
        assert stream.subprotocol == PROTOCOL
    with opened(server) as stream:
        assert stream.subprotocol is None


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\xff\xff\xff\xff\x07no message", "INVALID_ARGUMENT"),
        (pb.StreamRequest(ping=pb.Ping(id=1)).SerializeToString(), "INVALID_ARGUMENT"),
        (HALF_CLOSE, "INVALID_ARGUMENT"),
        (pb.StreamRequest(hello=pb.Hello(fingerprint="0" * 64)).SerializeToString(), "FAILED_PRECONDITION"),
    ],
)
def test_a_stream_that_cannot_begin_ends_with_a_sentence(server: Running, sent: bytes, status: str) -> None:
    with opened(server) as stream:
        stream.send(sent)
        (last,) = rest_of(stream)
        assert last.failure.picture_id == 0 and last.failure.message.endswith(".")
        assert last.failure.code == grpc.StatusCode[status].value[0]
        assert stream.close_code == 4000 + last.failure.code
        assert stream.close_reason and last.failure.message.startswith(stream.close_reason)


def test_bytes_in_the_midst_that_are_no_message_end_it(server: Running, progressive: Artifact) -> None:
    with begun(server, progressive) as stream:
        stream.send(b"\xff\xff\xff\xff\x07no message")
        (last,) = rest_of(stream)
        assert "not a message" in last.failure.message and stream.close_code == 4003


def test_text_is_not_read(server: Running, progressive: Artifact) -> None:
    with begun(server, progressive) as stream:
        stream.send("text")
        assert rest_of(stream) == [] and stream.close_code == 1003


def test_a_long_message_is_refused_before_it_is_read(server: Running, progressive: Artifact) -> None:
    with begun(server, progressive) as stream:
        with contextlib.suppress(ConnectionClosed):
            stream.send(bytes(16 * 2**20))
        assert rest_of(stream) == [] and stream.close_code == 1009


def test_a_message_of_65536_bytes_is_read(server: Running, progressive: Artifact) -> None:
    ping = pb.StreamRequest(ping=pb.Ping(id=7))
    ping.ping.padding = bytes(65536 - ping.ByteSize() - 10)
    with begun(server, progressive) as stream:
        stream.send(ping.SerializeToString())
        assert response(stream).pong.received_bytes == ping.ByteSize() > 65500


def test_frames_of_one_message_are_not_heaped_up(server: Running, progressive: Artifact) -> None:
    with raw(server) as attacker:
        attacker.sendall(frame(hello(progressive).SerializeToString()))
        attacker.sendall(frame(b"", fin=False) + frame(b"", opcode=0, fin=False) * (MOST_FRAMES + 10))
        assert close_code(attacker) == 1008


def test_a_message_in_frames_is_one_message(server: Running, progressive: Artifact) -> None:
    whole = hello(progressive).SerializeToString()
    with raw(server) as client:
        client.sendall(
            frame(whole[:5], fin=False) + frame(whole[5:9], opcode=0, fin=False) + frame(whole[9:], opcode=0)
        )
        assert client.recv(2)[0] == 0x82


def test_frames_of_a_server_are_not_those_of_a_client(server: Running) -> None:
    with raw(server) as attacker:
        attacker.sendall(b"\x82\x05hello")  # not masked
        assert close_code(attacker) == 1002


def test_what_is_not_read_is_not_answered_without_end(progressive: Artifact) -> None:
    """Pings want pongs, and nobody reads them: in the end it is hung up."""
    pings = frame(bytes(125), opcode=9) * 400
    with serving(progressive.folder, upload_seconds=0.5) as server, raw(server) as attacker:
        attacker.sendall(frame(hello(progressive).SerializeToString()))
        attacker.settimeout(PATIENCE_S)
        sent, until = 0, time.monotonic() + PATIENCE_S
        with pytest.raises(ConnectionError):
            while time.monotonic() < until:
                sent += attacker.send(pings)
        assert sent < 64 * 2**20


def test_thousands_of_messages_at_once_do_not_keep_others_waiting(server: Running, progressive: Artifact) -> None:
    flood = frame(pb.StreamRequest(ping=pb.Ping(id=1)).SerializeToString()) * 20_000
    with raw(server) as attacker:
        attacker.sendall(frame(hello(progressive).SerializeToString()))
        sending = threading.Thread(target=lambda: _send(attacker, flood))
        reading = threading.Thread(target=lambda: _read(attacker))
        sending.start()
        reading.start()
        slowest = 0.0
        while sending.is_alive():
            began = time.monotonic()
            assert httpx2.get(f"{server.url}/healthz").status_code == 200
            slowest = max(slowest, time.monotonic() - began)
        attacker.shutdown(socket.SHUT_RDWR)
        reading.join()
    assert slowest < 1.0


def test_who_says_nothing_is_hung_up_on(progressive: Artifact) -> None:
    with serving(progressive.folder, greeting_seconds=0.2) as server, opened(server) as stream:
        (last,) = rest_of(stream)
        assert "did not arrive within 0.2 s" in last.failure.message and stream.close_code == 4003


def test_a_host_may_owe_so_many_first_messages_by_all_ways(progressive: Artifact) -> None:
    with serving(progressive.folder, host_calls=1) as server, opened(server):
        with opened(server) as other:
            (last,) = rest_of(other)
            assert "has 1 calls whose request has not arrived" in last.failure.message and other.close_code == 4008
        with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.RpcError, match="has 1 calls"):
            list(Stub(channel).Stream(iter([hello(progressive)])))


def test_silent_ones_make_room_for_who_asks(progressive: Artifact) -> None:
    with serving(progressive.folder, connections=3) as server, contextlib.ExitStack() as stack:
        talking = stack.enter_context(begun(server, progressive))
        for _ in range(4):
            stack.enter_context(opened(server))
        assert httpx2.get(f"{server.url}/healthz").status_code == 200
        talking.send(payload(1, 3, bytes(4)).SerializeToString())
        assert response(talking).HasField("receipt")


def test_streams_of_both_kinds_count_together(progressive: Artifact) -> None:
    with (
        serving(progressive.folder, caller_streams=1) as server,
        begun(server, progressive),
        grpc.insecure_channel(server.address) as channel,
        pytest.raises(grpc.RpcError, match="1 streams open"),
    ):
        list(Stub(channel).Stream(iter([hello(progressive)])))


def test_an_idle_stream_is_ended(progressive: Artifact) -> None:
    with serving(progressive.folder, idle_seconds=0.2) as server, begun(server, progressive) as stream:
        assert rest_of(stream) == [] and stream.close_code == 1000


def test_a_rate_is_the_caller_s_on_all_ways(progressive: Artifact) -> None:
    with serving(progressive.folder, rate_pictures=0.01) as server:
        assert httpx2.post(f"{server.url}/v1/predictions", content=png("red")).status_code == 200
        said, _, _ = exchange(server, hello(progressive), payload(1, 3, bytes(4)))
        (failure,) = (one.failure for one in said if one.HasField("failure"))
        assert "may send 0.01 pictures a second" in failure.message and failure.retry_after_ms > 90_000


def bearer(token: str) -> str:
    return f"artoveq.bearer.{urlsafe_b64encode(token.encode()).decode().rstrip('=')}"


def test_a_token_comes_in_a_header_a_cookie_or_a_subprotocol(progressive: Artifact, tokens: Path) -> None:
    with serving(progressive.folder, tokens_file=tokens) as server:
        for how in (
            {"additional_headers": {"Authorization": f"Bearer {TOKEN}"}},
            {"additional_headers": {"Cookie": f"artoveq_token={TOKEN}"}},
            {"subprotocols": [PROTOCOL, bearer(TOKEN)]},
        ):
            with begun(server, progressive, **how):
                pass
        for wrong in ({}, {"subprotocols": [PROTOCOL, bearer("wrong")]}, {"subprotocols": ["artoveq.bearer.A"]}):
            said, code, reason = exchange(server, hello(progressive), **wrong)
            assert code == 4016 and "token" in reason
            assert [one.failure.code for one in said] == [grpc.StatusCode.UNAUTHENTICATED.value[0]]


def test_a_stream_ends_when_its_token_is_struck_out(progressive: Artifact, tokens: Path) -> None:
    with (
        serving(progressive.folder, tokens_file=tokens) as server,
        begun(server, progressive, subprotocols=[PROTOCOL, bearer(TOKEN)]) as stream,
    ):
        tokens.write_text("other: fedcba9876543210\n")
        (last,) = rest_of(stream)
        assert "no longer has this token of gate" in last.failure.message and stream.close_code == 4016


def test_pages_of_others_may_not_open_streams(progressive: Artifact) -> None:
    with serving(progressive.folder, http_origins="https://app.example.com") as server:
        own = f"http://127.0.0.1:{server.server.http_port}"
        for origin in (own, "https://app.example.com"):
            with begun(server, progressive, origin=origin):
                pass
        for origin in ("https://evil.example.com", f"{own}1", "null"):
            with pytest.raises(InvalidStatus) as refused, opened(server, origin=origin):
                pass
            assert refused.value.response.status_code == 403
            assert b"ARTOVEQ_HTTP_ORIGINS" in (refused.value.response.body or b"")
    anybody = serving(progressive.folder, http_origins="*")
    with anybody as server, begun(server, progressive, origin="https://evil.example.com"):
        pass


def test_other_names_and_paths_take_no_sockets(server: Running) -> None:
    for path, headers, status in (
        ("/v1/models", {}, 404),
        ("/", {}, 404),
        ("/v1/stream", {"Host": "evil.example.com"}, 421),
    ):
        with socket.create_connection(("127.0.0.1", server.server.http_port), PATIENCE_S) as client:
            client.sendall(handshake(path, **headers))
            head = client.makefile("rb").read()
            assert f" {status} ".encode() in head.split(b"\r\n")[0] and b"problem+json" in head


def test_a_handshake_that_is_none_is_refused(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.server.http_port), PATIENCE_S) as client:
        client.sendall(handshake("/v1/stream").replace(b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 7"))
        assert b" 400 " in client.makefile("rb").readline()


def test_a_stopping_server_answers_what_was_begun_and_says_why_it_ends(progressive: Artifact) -> None:
    with serving(progressive.folder, drain_seconds=PATIENCE_S) as server, begun(server, progressive) as stream:
        stream.send(planes(1, 1, 3, PLANE * 3).SerializeToString())
        assert response(stream).HasField("receipt")
        ending = threading.Thread(target=server.stop)
        ending.start()
        time.sleep(0.3)
        stream.send(planes(1, 4, 5, PLANE * 5).SerializeToString())
        said = rest_of(stream)
        assert finals(said)[1].point == TOP
        assert said[-1].failure.message == "The server is stopping." and stream.close_code == 4014
        ending.join()


def test_who_is_cut_off_is_told(progressive: Artifact) -> None:
    with (
        serving(progressive.folder, drain_seconds=0.2) as server,
        begun(server, progressive) as stream,
        opened(server) as silent,
    ):
        stream.send(planes(1, 1, 3, PLANE * 3).SerializeToString())
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 2
        for one in (stream, silent):
            rest_of(one)
            assert one.close_code == 4014 and "has stopped" in (one.close_reason or "")


def test_the_page_knows_who_streams(progressive: Artifact) -> None:
    with serving(progressive.folder) as server, begun(server, progressive) as stream:
        stream.send(payload(1, 3, bytes(4)).SerializeToString())
        assert response(stream).HasField("receipt") and response(stream).answer.final
        edges = httpx2.get(f"{server.url}/v1/edges", headers={"Accept": "application/json"}).json()
        assert edges["connected"] == 1


# By hand, for what no library sends.


def handshake(path: str, **headers: str) -> bytes:
    sent = {
        "Host": "127.0.0.1",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        **headers,
    }
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items()), "", ""]
    return "\r\n".join(lines).encode()


@contextlib.contextmanager
def raw(server: Running) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.server.http_port), PATIENCE_S) as client:
        client.sendall(handshake("/v1/stream"))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        assert b" 101 " in head.split(b"\r\n")[0]
        yield client


def frame(data: bytes, *, opcode: int = 2, fin: bool = True) -> bytes:
    """Of a client, masked with zeros."""
    head, length = fin << 7 | opcode, len(data)
    sized = struct.pack("!BB", head, 0x80 | length) if length < 126 else struct.pack("!BBH", head, 0x80 | 126, length)
    return sized + bytes(4) + data


def close_code(client: socket.socket) -> int:
    """Of the frame at the end of all that comes."""
    data = client.makefile("rb").read()
    at = data.rindex(b"\x88")
    return int.from_bytes(data[at + 2 : at + 4], "big")


def _send(client: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):
        client.sendall(data)


def _read(client: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while client.recv(65536):
            pass
