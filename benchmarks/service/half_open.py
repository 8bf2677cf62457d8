"""Everything that a caller can leave half open. Each kind is a function that opens it and leaves it to the stack."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub
from wire.manifest import ENCODER

HOST, PATIENCE_S = "127.0.0.1", 10.0
RECEIVE_BYTES = 4096
"""Receive buffer of who does not read; the kernel doubles it."""
UNREAD_REQUESTS = 2000
UNREAD_PINGS = 20_000
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""With empty settings."""
HEADERS, DATA, END_HEADERS = 1, 0, 4


@dataclass(frozen=True)
class Ports:
    """Of a server on loopback; the model that its streams are for, its last point, and the bytes of its first plane."""

    grpc: int
    http: int
    fingerprint: str
    last_point: int
    plane_bytes: int


Open = Callable[[Ports, ExitStack], None]
KINDS: dict[str, Open] = {}


def _kind(opening: Open) -> Open:
    KINDS[opening.__name__] = opening
    return opening


@_kind
def grpc_silent(ports: Ports, stack: ExitStack) -> None:
    """A connection that says nothing."""
    _connect(ports.grpc, stack)


@_kind
def grpc_half_preface(ports: Ports, stack: ExitStack) -> None:
    """HTTP/2 that is cut off within its first words."""
    _connect(ports.grpc, stack).sendall(PREFACE[:10])


@_kind
def grpc_half_message(ports: Ports, stack: ExitStack) -> None:
    """A message of 16 MB, of which a kilobyte comes."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/artoveq.v1.RemoteInferenceService/PredictPicture",
        ":authority": "localhost",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    block = b"".join(b"\0%b%b" % (_text(name), _text(value)) for name, value in fields.items())
    message = b"\0" + struct.pack(">I", 16_000_000) + bytes(1024)
    _connect(ports.grpc, stack).sendall(PREFACE + _frame(HEADERS, END_HEADERS, block) + _frame(DATA, 0, message))


@_kind
def stream_without_hello(ports: Ports, stack: ExitStack) -> None:
    """A stream whose first message never comes."""
    _kept(_stub(ports, stack).Stream(_said_and_open(stack)), stack)


@_kind
def stream_silent(ports: Ports, stack: ExitStack) -> None:
    """A stream that says nothing after its hello."""
    call = _kept(_stub(ports, stack).Stream(_said_and_open(stack, _hello(ports))), stack)
    assert next(call).HasField("welcome")


@_kind
def stream_unfinished(ports: Ports, stack: ExitStack) -> None:
    """A picture whose further planes never come."""
    plane = pb.Payload(picture_id=1, point=ports.last_point, first_plane=1, plane_count=1, packed=True)
    plane.data = bytes(ports.plane_bytes)
    said = _said_and_open(stack, _hello(ports), pb.StreamRequest(payload=plane))
    call = _kept(_stub(ports, stack).Stream(said), stack)
    assert next(call).HasField("welcome") and next(call).receipt.planes == 1


@_kind
def stream_unread(ports: Ports, stack: ExitStack) -> None:
    """A stream that asks and does not read the answers."""
    ping = pb.StreamRequest(ping=pb.Ping(id=2**60))
    _kept(_stub(ports, stack).Stream(_said_and_open(stack, _hello(ports), *[ping] * UNREAD_PINGS)), stack)


@_kind
def file_unread(ports: Ports, stack: ExitStack) -> None:
    """A fetched file that is not read."""
    _kept(_stub(ports, stack).FetchFile(pb.FetchFileRequest(fingerprint=ports.fingerprint, name=ENCODER)), stack)


@_kind
def health_watch(ports: Ports, stack: ExitStack) -> None:
    """A watcher of the server's health."""
    assert next(_watch(ports, stack, "")).status == health_pb2.HealthCheckResponse.SERVING


@_kind
def health_watch_unknown(ports: Ports, stack: ExitStack) -> None:
    """A watcher of the health of a service that is not there."""
    next(_watch(ports, stack, "nowhere"))


@_kind
def health_watch_unread(ports: Ports, stack: ExitStack) -> None:
    """Watchers that do not read what they are told."""
    for _ in range(8):
        _watch(ports, stack, "")


@_kind
def reflection(ports: Ports, stack: ExitStack) -> None:
    """A reflection stream that asks nothing more."""
    stub = reflection_pb2_grpc.ServerReflectionStub(_channel(ports, stack))
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    next(_kept(stub.ServerReflectionInfo(_said_and_open(stack, asked)), stack))


@_kind
def http_silent(ports: Ports, stack: ExitStack) -> None:
    """A connection that says nothing."""
    _connect(ports.http, stack)


@_kind
def http_half_header(ports: Ports, stack: ExitStack) -> None:
    """A request that is cut off within its header."""
    _connect(ports.http, stack).sendall(b"GET /healthz HTTP/1.1\r\nHost: loc")


@_kind
def http_half_body(ports: Ports, stack: ExitStack) -> None:
    """A picture file that does not come to its end."""
    connection = _connect(ports.http, stack)
    connection.sendall(b"POST /v1/predictions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n" + bytes(9))


@_kind
def http_idle(ports: Ports, stack: ExitStack) -> None:
    """A connection that is kept for further requests."""
    connection = _connect(ports.http, stack)
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert connection.recv(RECEIVE_BYTES)


@_kind
def http_unread(ports: Ports, stack: ExitStack) -> None:
    """A reader that asks for more than the kernel keeps, and does not read."""
    connection = _connect(ports.http, stack)
    connection.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * UNREAD_REQUESTS)


@_kind
def viewer(ports: Ports, stack: ExitStack) -> None:
    """A page that is open and read."""
    connection = _viewer(ports, stack)

    def read() -> None:
        with contextlib.suppress(OSError):
            while connection.recv(RECEIVE_BYTES):
                pass

    reader = threading.Thread(target=read)
    reader.start()
    stack.callback(reader.join)
    stack.callback(connection.shutdown, socket.SHUT_RDWR)


@_kind
def viewer_unread(ports: Ports, stack: ExitStack) -> None:
    """A page that is open and no longer read."""
    _viewer(ports, stack)


@_kind
def all_at_once(ports: Ports, stack: ExitStack) -> None:
    """Each kind, twice."""
    for opening in [*KINDS.values()][:-1] * 2:
        opening(ports, stack)


def _connect(port: int, stack: ExitStack) -> socket.socket:
    connection = stack.enter_context(socket.socket())
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    connection.settimeout(PATIENCE_S)
    connection.connect((HOST, port))
    return connection


def _viewer(ports: Ports, stack: ExitStack) -> socket.socket:
    connection = _connect(ports.http, stack)
    connection.sendall(b"GET /v1/edges HTTP/1.1\r\nHost: localhost\r\n\r\n")
    seen = b""
    while b"data: " not in seen:
        seen += connection.recv(RECEIVE_BYTES)
    return connection


def _text(text: str) -> bytes:
    """HPACK's string, as it is."""
    return bytes([len(text)]) + text.encode()


def _frame(kind: int, flags: int, payload: bytes) -> bytes:
    """HTTP/2's, of the first stream."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", 1) + payload


def _channel(ports: Ports, stack: ExitStack) -> grpc.Channel:
    """A connection of its own, that takes little before it is read."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.http2.lookahead_bytes", RECEIVE_BYTES)]
    return stack.enter_context(grpc.insecure_channel(f"{HOST}:{ports.grpc}", options))


def _stub(ports: Ports, stack: ExitStack) -> RemoteInferenceServiceStub:
    return RemoteInferenceServiceStub(_channel(ports, stack))  # type: ignore[no-untyped-call]


def _watch(ports: Ports, stack: ExitStack, service: str) -> Any:
    stub = health_pb2_grpc.HealthStub(_channel(ports, stack))
    return _kept(stub.Watch(health_pb2.HealthCheckRequest(service=service)), stack)


def _kept(call: Any, stack: ExitStack) -> Any:
    """A call that nobody holds is cancelled."""
    stack.callback(call.cancel)
    return call


def _said_and_open(stack: ExitStack, *messages: object) -> Iterator[object]:
    """The messages, and then none, until the stack is left."""
    left = threading.Event()
    stack.callback(left.set)

    def requests() -> Iterator[object]:
        yield from messages
        left.wait()

    return requests()


def _hello(ports: Ports) -> pb.StreamRequest:
    return pb.StreamRequest(hello=pb.Hello(fingerprint=ports.fingerprint))
