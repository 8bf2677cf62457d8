from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from typing import Any

import pytest

from inference_server.rest import acceptance
from inference_server.rest.acceptance import Acceptance, Listener


class Echo(asyncio.Protocol):
    """Says what it hears."""

    made = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        type(self).made += 1
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Listener:
    monkeypatch.setattr(Echo, "made", 0)
    one = Listener(socket.AF_INET, 10)
    one.bind(("127.0.0.1", 0))
    return one


def connected(listener: Listener) -> socket.socket:
    caller = socket.create_connection(listener.getsockname(), timeout=5)
    caller.settimeout(5)
    return caller


def echoed(caller: socket.socket) -> bool:
    caller.sendall(b"hello")
    return caller.recv(5) == b"hello"


def test_only_who_says_something_gets_what_answers(listener: Listener) -> None:
    async def run() -> None:
        taking = Acceptance(listener, Echo, None, 60.0)
        with contextlib.ExitStack() as callers:
            silent = [callers.enter_context(connected(listener)) for _ in range(5)]
            assert await asyncio.to_thread(echoed, callers.enter_context(connected(listener))) and Echo.made == 1
            assert await asyncio.to_thread(echoed, silent.pop()) and Echo.made == 2
            taking.close()
            await taking.wait_closed()
            assert [one.recv(1) for one in silent] == 4 * [b""]

    asyncio.run(run())
    assert Echo.made == 2


def test_who_stays_silent_is_hung_up_on(listener: Listener) -> None:
    async def run() -> None:
        taking = Acceptance(listener, Echo, None, 0.2)
        with connected(listener) as silent:
            assert await asyncio.to_thread(silent.recv, 1) == b""
        taking.close()

    asyncio.run(run())
    assert Echo.made == 0


def test_without_descriptors_it_tries_again(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    take, failures = listener.accept, iter([True, False])

    def accept() -> tuple[socket.socket, Any]:
        if next(failures, False):
            raise OSError(errno.EMFILE, "Too many open files")
        return take()

    monkeypatch.setattr(acceptance, "AGAIN_S", 0.1)
    monkeypatch.setattr(listener, "accept", accept)

    async def run() -> None:
        taking = Acceptance(listener, Echo, None, 60.0)
        with connected(listener) as caller:
            assert await asyncio.to_thread(echoed, caller)
        taking.close()

    asyncio.run(run())
    assert "Too many open files" in caplog.text and Echo.made == 1
