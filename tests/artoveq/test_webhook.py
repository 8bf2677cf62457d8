"""Receivers that are away, slow, broken or somebody else."""

from __future__ import annotations

import asyncio
import base64
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from artoveq.watch import webhook
from artoveq.watch.webhook import LONGEST_PAUSE_S, Webhook, pause_after
from wire.exceptions import SinkError

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


def test_what_was_not_taken_is_posted_again_later_and_what_is_refused_is_not() -> None:
    for status in (None, 408, 425, 429, 500, 502, 503, 599):
        pauses = [pause_after(status, "", failures) or 0 for failures in range(1, 100)]
        assert pauses == sorted(pauses) and pauses[0] == 0.5 and pauses[1] == 1 and pauses[-1] == LONGEST_PAUSE_S
    for status in (301, 302, 307, 308, 400, 401, 404, 410):
        assert pause_after(status, "5", 1) is None


@pytest.mark.parametrize(
    ("asked", "pause"),
    [("7", 7), ("0", 0.5), ("999999999", LONGEST_PAUSE_S), ("9" * 400, 0.5), ("-1", 0.5), ("nan", 0.5), ("soon", 0.5)],
)
def test_a_receiver_may_ask_for_a_pause_up_to_a_limit(asked: str, pause: float) -> None:
    assert pause_after(503, asked, 1) == pause


class Receiver:
    """Says what it is told to, one thing to each request, and then OK."""

    def __init__(self, listener: socket.socket, *answers: bytes) -> None:
        self.requests: list[bytes] = []
        self._listener, self._answers = listener, list(answers)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/results"

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream:
                head = b""
                while not head.endswith(b"\r\n\r\n") and (line := stream.readline()):
                    head += line
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
                self.requests.append(head + stream.read(length))
                connection.sendall(self._answers.pop(0) if self._answers else OK)


@pytest.fixture
def receiving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Receiver]]:
    monkeypatch.setattr(webhook, "FIRST_PAUSE_S", 0.01)
    ends: list[Callable[[], None]] = []

    def start(*answers: bytes) -> Receiver:
        listener = socket.create_server(("127.0.0.1", 0))
        receiver = Receiver(listener, *answers)
        thread = threading.Thread(target=receiver.serve)
        thread.start()

        def end() -> None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join(10)

        ends.append(end)
        return receiver

    yield start
    for end in ends:
        end()


@contextmanager
def hook(url: str) -> Iterator[Webhook]:
    with closing(Webhook(url)) as made:
        yield made


BROKEN = [
    b"",
    b"garbage\r\n\r\n",
    b"HTTP/1.1 abc def\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"\r\n",
    b"HTTP/1.1 200 " + b"a" * 100_000 + b"\r\n\r\n",
    b"HTTP/1.1 503 Later\r\nRetry-After: 0\r\n\r\n",
    b"HTTP/1.1 500 Broken\r\nContent-Length: 99999\r\n\r\n",
]


def test_no_answer_ends_the_thread_and_each_result_comes_in_order(
    receiving: Callable[..., Receiver], caplog: pytest.LogCaptureFixture
) -> None:
    receiver = receiving(*BROKEN)
    with hook(receiver.url) as sink:
        for frame in range(3):
            sink.send({"frame": frame})
        assert asyncio.run(asyncio.wait_for(sink.taken(), 20))
    bodies = [request.rpartition(b"\r\n")[2] for request in receiver.requests]
    assert bodies == [b'{"frame": 0}'] * (len(BROKEN) + 1) + [b'{"frame": 1}', b'{"frame": 2}']
    assert caplog.text.count("does not take results") == 1  # said once, not for every try


def test_what_is_refused_for_good_is_over(receiving: Callable[..., Receiver], caplog: pytest.LogCaptureFixture) -> None:
    receiver = receiving(b"HTTP/1.1 400 No\r\n\r\n")
    with hook(receiver.url) as sink:
        sink.send({"frame": 1})
        sink.send({"frame": 2})
        assert asyncio.run(asyncio.wait_for(sink.taken(), 20))
    assert len(receiver.requests) == 2 and "status 400; what it refuses is dropped" in caplog.text


def test_no_redirect_is_followed_and_no_password_is_said(
    receiving: Callable[..., Receiver], caplog: pytest.LogCaptureFixture
) -> None:
    other = receiving()
    answers = [f"HTTP/1.1 {code} Go\r\nLocation: {other.url}?token=secret\r\n\r\n".encode() for code in (301, 307, 308)]
    receiver = receiving(*answers)
    with hook(receiver.url.replace("//", "//me:open%20sesame@") + "?token=secret") as sink:
        for frame in range(4):
            sink.send({"frame": frame})
        assert asyncio.run(asyncio.wait_for(sink.taken(), 20))
    assert other.requests == [] and len(receiver.requests) == 4
    assert base64.b64encode(b"me:open sesame") in receiver.requests[0]
    assert "status 301, which names http://127.0.0.1" in caplog.text
    assert "secret" not in caplog.text and "sesame" not in caplog.text


def test_a_receiver_that_is_away_is_waited_for_and_closing_does_not_hang(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "WAITING", 3)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    sink = Webhook(f"http://127.0.0.1:{port}/")
    sink.send({"frame": 0})

    async def run() -> bool:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(sink.taken(), 0.1)
        taken = asyncio.create_task(sink.taken())
        await asyncio.sleep(0)
        for frame in range(1, 4):
            sink.send({"frame": frame})
        return await taken

    assert not asyncio.run(run())  # it was dropped for newer ones
    assert "a result was dropped" in caplog.text
    sink.close()


@pytest.mark.parametrize("url", ["ftp://host/", "http://host/ä", "http://host/ x", "http:///x", "http://host:port/"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(SinkError):
        Webhook(url)
