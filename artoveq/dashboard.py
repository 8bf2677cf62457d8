"""`artoveq dashboard`: the edges of a server, live in a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from artoveq.pages import asked
from wire.exceptions import ServerUnavailable
from wire.shown import shown


def events(url: str, token: str | None, ca_file: Path | None) -> Iterator[dict[str, Any]]:
    """What the server tells its viewers, once a second, until it stops.

    Raises:
        UsageError: if the address has a password in it.
        ServerUnavailable: if nobody answers there, or the server goes away.
        AccessDenied: if it wants another token.
    """
    with asked(url, "/v1/edges", token, ca_file) as answer:
        for line in answer:
            if line.startswith(b"data: "):
                yield json.loads(line.removeprefix(b"data: "))
    raise ServerUnavailable(f"The server at {url} has stopped.")


@dataclass
class Screen:
    """The edges as they are known: lines come when they change, and are kept here."""

    lines: dict[int, dict[str, Any]] = field(default_factory=dict)
    shown: Group = field(default_factory=Group)

    def show(self, news: dict[str, Any]) -> None:
        """Takes what is new."""
        self.lines.update({edge["number"]: edge for edge in news["edges"]})
        for number in news["gone"]:
            self.lines.pop(number, None)
        table = Table("edge", "pictures", "point", "bytes", "capacity", "within budget", "answer", box=None)
        for edge in self.lines.values():
            if edge["connected"]:
                table.add_row(*_cells(edge))
        title = f"{news['connected']} edges, {news['server']['waiting']} pictures waiting"
        self.shown = Group(f"[bold]{title}[/]", table)


def _cells(edge: dict[str, Any]) -> tuple[str, ...]:
    newest, capacity, in_time = edge["answer"], edge["capacity"], edge["in_time"]
    return (
        escape(shown(edge["name"])),
        f"{edge['pictures']:,}",
        str(newest["point"]) if newest else "–",
        str(newest["payload_bytes"]) if newest else "–",
        f"{capacity / 1000:.1f} kbit/s" if capacity else "–",
        "–" if in_time is None else f"{in_time:.0%}",
        escape(shown(_said(newest))) if newest else "–",
    )


def _said(answer: dict[str, Any]) -> str:
    """In a few words, and how sure it is."""
    confidence = answer["confidence"]
    return str(answer["said"]) if confidence is None else f"{answer['said']} {confidence:.0%}"


def dashboard(url: str, token: str | None, ca_file: Path | None, *, once: bool) -> None:
    """Shows the edges until the server stops; or once, as text."""
    screen, console = Screen(), Console()
    if once:
        screen.show(next(events(url, token, ca_file)))
        console.print(screen.shown)
        return
    with Live(get_renderable=lambda: screen.shown, console=console, screen=True, refresh_per_second=2):
        for news in events(url, token, ca_file):
            screen.show(news)
