"""A receiver that gets each result as a POST, in order, and again where it could not take it."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import logging
import random
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import deque
from typing import Any

from artoveq.watch.sinks import CLOSING_S, TAKEN_POLL_S, WAITING, Record, parts_of
from wire.exceptions import SinkError
from wire.shown import shown, without_secrets

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0
AGAIN = (408, 425, 429)
"""Statuses that mean later, beside all from 500 on."""


def pause_after(status: int | None, retry_after: str, failures: int) -> float | None:
    """Seconds until a result that was not taken is posted again, before jitter; None: it is refused for good.

    status: of the answer, None where there was none, or none that is HTTP. failures: in a row, from 1.
    """
    if status is not None and status < 500 and status not in AGAIN:
        return None
    pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures - 1, 16))
    asked = float(retry_after) if re.fullmatch(r"\d{1,9}", retry_after) else 0.0
    return max(pause, min(LONGEST_PAUSE_S, asked))


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Results, and the password that goes with them, are for the host that was named."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirects)


class Webhook:
    """POSTs from a thread of its own. What is too much for a slow receiver is dropped, the oldest first."""

    def __init__(self, url: str) -> None:
        parts, _ = parts_of(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not re.fullmatch(r"[\x21-\x7e]+", url):
            raise SinkError(f"{without_secrets(url)!r} is no address to post to; write http://… or https://….")
        self._shown, self._headers = without_secrets(url), {"Content-Type": "application/json"}
        if parts.username is not None:
            user = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
        self._url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self._changed = threading.Condition()
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._sent = self._dropped = self._failures = 0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="artoveq-webhook", daemon=True)
        self._thread.start()

    def send(self, record: Record) -> None:
        with self._changed:
            self._sent += 1
            self._waiting.append((self._sent, json.dumps(record).encode()))
            if len(self._waiting) > WAITING:
                self._waiting.popleft()
                self._dropped += 1
                log.warning("%s is slow; a result was dropped.", self._shown)
            self._changed.notify()

    async def taken(self) -> bool:
        """Whether all that was sent until now is over, posted or refused for good, and not dropped; waits for that."""
        last, dropped = self._sent, self._dropped
        while self._waits_for(last):  # noqa: ASYNC110 (a thread that waits could not be cancelled)
            await asyncio.sleep(TAKEN_POLL_S)
        return self._dropped == dropped

    def _waits_for(self, number: int) -> bool:
        with self._changed:
            return bool(self._waiting) and self._waiting[0][0] <= number

    def close(self) -> None:
        """Waits a little for what is still to be posted."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(CLOSING_S)

    def _run(self) -> None:
        while (waiting := self._oldest()) is not None:
            pause = self._post(waiting[1])
            with self._changed:
                if pause is None:
                    if self._waiting and self._waiting[0] == waiting:  # else it was dropped meanwhile
                        self._waiting.popleft()
                elif self._closing:
                    return
                else:
                    until = time.monotonic() + pause * random.uniform(0.5, 1)
                    while not self._closing and (left := until - time.monotonic()) > 0:
                        self._changed.wait(left)

    def _oldest(self) -> tuple[int, bytes] | None:
        """Waits for something to post; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            return self._waiting[0] if self._waiting else None

    def _post(self, body: bytes) -> float | None:
        """Seconds until it is to be posted again; None: that is over, for good or for bad."""
        try:
            _OPENER.open(urllib.request.Request(self._url, body, self._headers), timeout=TIMEOUT_S).close()
        except urllib.error.HTTPError as error:
            with error:
                where = without_secrets(error.headers.get("Location", ""))
                why = f"status {error.code}" + (f", which names {where}" if where else "")
                return self._failed(why, error.code, error.headers.get("Retry-After", ""))
        except (OSError, http.client.HTTPException, ValueError) as error:
            return self._failed(without_secrets(str(error)) or type(error).__name__, None, "")
        self._failures = 0
        return None

    def _failed(self, why: str, status: int | None, retry_after: str) -> float | None:
        self._failures += 1
        pause = pause_after(status, retry_after, self._failures)
        if self._failures == 1:  # a receiver that is away is mentioned once, not for every result
            fate = "they are posted again later" if pause is not None else "what it refuses is dropped"
            log.warning("%s does not take results: %s; %s.", self._shown, shown(why), fate)
        return pause
