"""Where results go: the terminal, JSON lines, a webhook, an MQTT broker."""

from __future__ import annotations

import base64
import json
import logging
import queue
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any, Protocol

from wire.exceptions import SinkError
from wire.shown import without_secrets

log = logging.getLogger(__name__)

WAITING = 256
"""Results that may wait for a slow receiver; then the oldest are dropped, and counted in the log."""
TIMEOUT_S = 10.0
MQTT_PORT, MQTTS_PORT = 1883, 8883
CLOSING_S = 5.0

Record = dict[str, Any]


def _parts(address: str) -> tuple[urllib.parse.SplitResult, int | None]:
    """An address, and its port where it names one."""
    try:
        parts = urllib.parse.urlsplit(address)
        return parts, parts.port
    except ValueError:  # whose text quotes what may be a password
        raise SinkError(f"{without_secrets(address)!r} is no address; write a number for its port.") from None


class Sink(Protocol):
    """Takes results. `send` never waits."""

    def send(self, record: Record) -> None: ...

    def close(self) -> None: ...


class JsonLines:
    """One JSON object a line on standard output."""

    def send(self, record: Record) -> None:
        print(json.dumps(record), flush=True)

    def close(self) -> None:
        """Nothing to close."""


class Webhook:
    """POSTs each result as JSON, in order, from a thread of its own."""

    def __init__(self, url: str) -> None:
        parts, _ = _parts(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SinkError(f"{without_secrets(url)!r} is no address to post to; write http://… or https://….")
        self._shown, self._headers = without_secrets(url), {"Content-Type": "application/json"}
        if parts.username is not None:
            user = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
        self._url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self._waiting: queue.Queue[Record | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._run, name="artoveq-webhook", daemon=True)
        self._thread.start()

    def send(self, record: Record) -> None:
        while True:
            try:
                return self._waiting.put_nowait(record)
            except queue.Full:
                self._waiting.get_nowait()
                log.warning("%s is slow; a result was dropped.", self._shown)

    def close(self) -> None:
        """Waits a little for what is still to be posted."""
        self._waiting.put(None)
        self._thread.join(CLOSING_S)

    def _run(self) -> None:
        failing = False  # a receiver that is away is mentioned once, not for every result
        while (record := self._waiting.get()) is not None:
            request = urllib.request.Request(self._url, json.dumps(record).encode(), self._headers)
            try:
                urllib.request.urlopen(request, timeout=TIMEOUT_S).close()
                failing = False
            except (urllib.error.URLError, OSError) as error:
                if not failing:
                    log.warning("%s does not take results: %s.", self._shown, error)
                failing = True


class Mqtt:
    """Publishes each result as JSON under a topic; paho keeps and resends what the broker has not taken."""

    def __init__(self, address: str) -> None:
        import paho.mqtt.client as paho

        parts, port = _parts(address)
        self._topic = parts.path.strip("/")
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or not self._topic:
            raise SinkError(
                f"{without_secrets(address)!r} is no MQTT address; write mqtt://HOST/TOPIC or mqtts://USER:WORD@HOST/TOPIC."
            )
        secure = parts.scheme == "mqtts"
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.max_queued_messages_set(WAITING)
        if secure:
            self._client.tls_set()
        if parts.username:
            password = None if parts.password is None else urllib.parse.unquote(parts.password)
            self._client.username_pw_set(urllib.parse.unquote(parts.username), password)
        port = port or (MQTTS_PORT if secure else MQTT_PORT)
        try:
            self._client.connect(parts.hostname, port)
        except OSError as error:
            raise SinkError(
                f"No MQTT broker answers at {parts.hostname}:{port} ({error}); check the address."
            ) from error
        self._newest: paho.MQTTMessageInfo | None = None
        self._client.loop_start()

    def send(self, record: Record) -> None:
        self._newest = self._client.publish(self._topic, json.dumps(record), qos=1)

    def close(self) -> None:
        """Waits a little for what the broker has not taken yet."""
        if self._newest is not None:
            try:
                self._newest.wait_for_publish(CLOSING_S)
            except (RuntimeError, ValueError) as error:
                log.warning("The broker did not take the last results: %s.", error)
        self._client.disconnect()
        self._client.loop_stop()


class Terminal:
    """A line a frame, as `print_line` writes it."""

    def __init__(self, print_line: Callable[[str], None]) -> None:
        self._print = print_line

    def send(self, record: Record) -> None:
        if "error" in record or "kept" in record:
            text = record["error"] if "error" in record else f"kept for later: {record['reason']}"
            self._print(f"{record['frame']:>6}  {text}")
            return
        if "delivered" in record:
            self._print(f"{record['frame']:>6}  {_headline(record)}  delivered now")
            return
        late, point = "" if record["deadline_met"] else "  late", record["answers"][-1]["point"]
        self._print(
            f"{record['frame']:>6}  {_headline(record)}  point {point}, "
            f"{record['payload_bytes']} bytes, {record['latency_ms']:.0f} ms{late}"
        )

    def close(self) -> None:
        """Nothing to close."""


def _headline(record: Record) -> str:
    """What the answer comes to: a class, or, for other tasks, how sure it is."""
    if "class" in record:
        return f"{record['class']} {record['probability']:.0%}"
    return f"answered, {record['confidence']:.0%} sure"
