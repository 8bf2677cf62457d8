"""Where results go: a webhook and a broker that are slow, away, or wrongly named."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time

import pytest

from artoveq.watch.frames import open_frames
from artoveq.watch.mqtt import Mqtt
from artoveq.watch.webhook import Webhook
from wire.exceptions import FrameError, SinkError

FPS = 30


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_a_slow_receiver_loses_the_oldest_results_and_delays_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # takes the connection and never answers
        sink = Webhook(f"http://127.0.0.1:{deaf.getsockname()[1]}/")
        began = time.monotonic()
        for i in range(300):
            sink.send({"frame": i})
        assert time.monotonic() - began < 1
    assert "a result was dropped" in caplog.text


@pytest.mark.parametrize("address", ["mqtt://host", "http://host/topic", "mqtt:///topic"])
def test_a_wrong_mqtt_address_is_refused(address: str) -> None:
    with pytest.raises(SinkError, match="no MQTT address"):
        Mqtt(address)


def test_a_wrong_webhook_is_refused() -> None:
    with pytest.raises(SinkError, match="no address to post to"):
        Webhook("ftp://host/")


@pytest.mark.parametrize("address", ["{}://me:secret@host:port/x", "ftp://me:secret@host/x", "{}://me:se:cret@/x"])
def test_no_password_is_in_an_error(address: str) -> None:
    for make, scheme in ((Webhook, "http"), (Mqtt, "mqtt")):
        with pytest.raises(SinkError, match=r"no .*address") as refused:
            make(address.format(scheme))
        assert "cret" not in str(refused.value)
    with pytest.raises(FrameError, match="no file or folder") as unknown:
        open_frames(address.format("rstp"))
    assert "cret" not in str(unknown.value)


def test_a_password_is_sent_to_the_webhook_and_named_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as receiver:
        sink = Webhook(f"http://me:p%40ss@127.0.0.1:{receiver.getsockname()[1]}/results?key=p%40ss")
        sink.send({"frame": 1})
        connection, _ = receiver.accept()
        with connection:
            asked = connection.recv(65536)
    sink.close()
    assert b"POST /results?key=p%40ss" in asked and b"Authorization: Basic bWU6cEBzcw==" in asked
    assert "does not take results" in caplog.text and "ss@" not in caplog.text and "key" not in caplog.text


def test_no_broker_is_said_to_be_none() -> None:
    with pytest.raises(SinkError, match="No MQTT broker answers"):
        Mqtt("mqtt://127.0.0.1:1/topic")


@pytest.mark.slow
def test_a_broker_that_is_away_at_the_start_is_looked_for_where_that_is_allowed(port: int) -> None:
    published: list[tuple[str, dict[str, object]]] = []

    async def run() -> None:
        sink = Mqtt(f"mqtt://127.0.0.1:{port}/gate/dogs", offline=True)
        sink.send({"frame": 1})
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(sink.taken(), 0.1)
        with socket.create_server(("127.0.0.1", port)) as listener:
            thread = threading.Thread(target=_broker, args=(listener, published))
            thread.start()
            assert await asyncio.wait_for(sink.taken(), 20)
            sink.close()
            thread.join(10)

    asyncio.run(run())
    assert published == [("gate/dogs", {"frame": 1})]


def test_results_are_published_to_a_broker() -> None:
    """A broker of the test's own: CONNECT is accepted, PUBLISH acknowledged (MQTT 3.1.1)."""
    published: list[tuple[str, dict[str, object]]] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_broker, args=(listener, published))
        thread.start()
        sink = Mqtt(f"mqtt://127.0.0.1:{listener.getsockname()[1]}/gate/dogs")
        for frame in (1, 2):
            sink.send({"frame": frame, "class": "dingo"})
        sink.close()
        thread.join(10)
    assert published == [("gate/dogs", {"frame": i, "class": "dingo"}) for i in (1, 2)]


def _broker(listener: socket.socket, published: list[tuple[str, dict[str, object]]]) -> None:
    connection, _ = listener.accept()
    with connection, connection.makefile("rwb") as stream:
        while head := stream.read(1):
            length, shift = 0, 0
            while True:
                (byte,) = stream.read(1)
                length |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    break
            body = stream.read(length)
            if head[0] >> 4 == 1:
                stream.write(b"\x20\x02\x00\x00")
            elif head[0] >> 4 == 3:
                size = int.from_bytes(body[:2], "big")
                published.append((body[2 : 2 + size].decode(), json.loads(body[4 + size :])))
                stream.write(b"\x40\x02" + body[2 + size : 4 + size])
            elif head[0] >> 4 == 14:
                return
            stream.flush()
