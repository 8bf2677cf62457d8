"""Where results go: the terminal and JSON lines here, a webhook and an MQTT broker beside."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Callable
from typing import Any, Protocol

from wire.exceptions import SinkError
from wire.shown import without_secrets

WAITING = 256
"""Results that may wait for a slow receiver; then the oldest are dropped, and the log says so."""
CLOSING_S = 5.0
"""How long the end of a command waits for what was not taken yet."""
TAKEN_POLL_S = 0.02

Record = dict[str, Any]


def parts_of(address: str) -> tuple[urllib.parse.SplitResult, int | None]:
    """An address, and its port where it names one.

    Raises:
        SinkError: if it is none.
    """
    try:
        parts = urllib.parse.urlsplit(address)
        return parts, parts.port
    except ValueError:  # whose text quotes what may be a password
        raise SinkError(f"{without_secrets(address)!r} is no address; write a number for its port.") from None


class Sink(Protocol):
    """Takes results. `send` never waits; `taken` does, until all that was sent is at the receiver, or refused by it.

    Of what `taken` says False something was dropped on the way.
    """

    def send(self, record: Record) -> None: ...

    async def taken(self) -> bool: ...

    def close(self) -> None: ...


class JsonLines:
    """One JSON object a line on standard output."""

    def send(self, record: Record) -> None:
        print(json.dumps(record), flush=True)

    async def taken(self) -> bool:
        """At once."""
        return True

    def close(self) -> None:
        """Nothing to close."""


class Terminal:
    """A line a frame, as `print_line` writes it."""

    def __init__(self, print_line: Callable[[str], None]) -> None:
        self._print = print_line

    def send(self, record: Record) -> None:
        self._print(f"{record.get('frame', '')!s:>6}  {_sentence(record)}")

    async def taken(self) -> bool:
        """At once."""
        return True

    def close(self) -> None:
        """Nothing to close."""


def _sentence(record: Record) -> str:
    """What became of a frame."""
    if "error" in record:
        return str(record["error"])
    if "kept" in record:
        kept = f"kept for later: {record['reason']}"
        return f"{_headline(record)}  on the edge, {kept}" if record.get("local") else kept
    if "delivered" in record:
        return f"{_headline(record)}  delivered now"
    late, point = "" if record["deadline_met"] else "  late", record["answers"][-1]["point"]
    where = "on the edge" if record.get("local") else f"point {point}"
    sent = f"{record['payload_bytes']} bytes, {record['latency_ms']:.0f} ms"
    why = f": {record['unanswered']}" if "unanswered" in record else ""
    return f"{_headline(record)}  {where}, {sent}{late}{why}"


def _headline(record: Record) -> str:
    """What the answer comes to: a class, or what another task says."""
    return f"{record['class']} {record['probability']:.0%}" if "class" in record else str(record["answer"])
