"""A broker that gets each result under a topic."""

from __future__ import annotations

import asyncio
import json
import logging
import urllib.parse
from typing import Any

from artoveq.watch.sinks import CLOSING_S, TAKEN_POLL_S, WAITING, Record, parts_of
from wire.exceptions import SinkError
from wire.shown import without_secrets

log = logging.getLogger(__name__)

MQTT_PORT, MQTTS_PORT = 1883, 8883


class Mqtt:
    """Publishes each result as JSON; paho keeps and resends what the broker has not taken.

    offline: whether the broker may be away at the start.
    """

    def __init__(self, address: str, *, offline: bool = False) -> None:
        import paho.mqtt.client as paho

        parts, port = parts_of(address)
        self._topic = parts.path.strip("/")
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or not self._topic:
            raise SinkError(
                f"{without_secrets(address)!r} is no MQTT address; write mqtt://HOST/TOPIC or mqtts://USER:WORD@HOST/TOPIC."
            )
        secure = parts.scheme == "mqtts"
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.max_queued_messages_set(WAITING)
        self._client.on_publish = self._published
        self._sent = self._taken = 0
        self._dropped = False
        self._queue_full = paho.MQTT_ERR_QUEUE_SIZE
        if secure:
            self._client.tls_set()
        if parts.username:
            password = None if parts.password is None else urllib.parse.unquote(parts.password)
            self._client.username_pw_set(urllib.parse.unquote(parts.username), password)
        port = port or (MQTTS_PORT if secure else MQTT_PORT)
        try:
            self._client.connect(parts.hostname, port)
        except OSError as error:
            missing = f"No MQTT broker answers at {parts.hostname}:{port} ({error})"
            if not offline:
                raise SinkError(f"{missing}; check the address.") from error
            log.warning("%s; it is looked for again and again.", missing)
            self._client.connect_async(parts.hostname, port)
        self._newest: paho.MQTTMessageInfo | None = None
        self._client.loop_start()

    def send(self, record: Record) -> None:
        info = self._client.publish(self._topic, json.dumps(record), qos=1)
        self._dropped = info.rc == self._queue_full
        if self._dropped:
            log.warning("The MQTT broker is slow; a result was dropped.")
        else:
            self._sent += 1
            self._newest = info

    async def taken(self) -> bool:
        """Whether the newest one that was sent is acknowledged, and those before; waits until they are."""
        sent, dropped = self._sent, self._dropped
        while self._taken < sent:  # noqa: ASYNC110 (a count, not an event)
            await asyncio.sleep(TAKEN_POLL_S)
        return not dropped

    def close(self) -> None:
        """Waits a little for what the broker has not taken yet."""
        if self._newest is not None:
            try:
                self._newest.wait_for_publish(CLOSING_S)
            except (RuntimeError, ValueError) as error:
                log.warning("The broker did not take the last results: %s.", error)
        self._client.disconnect()
        self._client.loop_stop()

    def _published(self, *_: Any) -> None:
        self._taken += 1
