"""`artoveq dashboard`: the edges of a server, live in a terminal."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from wire.exceptions import AccessDenied, ServerError, ServerUnavailable, UsageError
from wire.shown import shown, without_secrets

TIMEOUT_S = 10.0
KEPT = 240


def events(url: str, token: str | None, ca_file: Path | None) -> Iterator[dict[str, Any]]:
    """What the server tells its viewers, four times a second, until it stops.

    Raises:
        UsageError: if the address has a password in it.
        ServerUnavailable: if nobody answers there, or the server goes away.
        AccessDenied: if it wants another token.
    """
    if "@" in urllib.parse.urlsplit(url).netloc:
        raise UsageError(f"{without_secrets(url)} names a user; servers ask for a token: give it with --token.")
    request = urllib.request.Request(url.rstrip("/") + "/v1/edges")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    context = ssl.create_default_context(cafile=ca_file) if url.startswith("https:") else None
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=context) as answer:
            for line in answer:
                if line.startswith(b"data: "):
                    yield json.loads(line.removeprefix(b"data: "))
    except urllib.error.HTTPError as error:
        with error:
            detail = json.loads(error.read() or b"{}").get("detail", error.reason)
        raise (AccessDenied if error.code == 401 else ServerError)(f"{url}: {shown(str(detail))}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ServerUnavailable(f"No page answers at {url} ({error}); write http://HOST:8080.") from error
    raise ServerUnavailable(f"The server at {url} has stopped.")


@dataclass
class Screen:
    """The edges as they are known: reports come in pieces and are kept here."""

    reports: dict[int, deque[dict[str, Any]]] = field(default_factory=dict)
    shown: Group = field(default_factory=Group)

    def show(self, news: dict[str, Any]) -> None:
        """Takes what is new."""
        table = Table("edge", "pictures", "point", "bytes", "capacity", "within budget", "answer", box=None)
        numbers = {edge["number"] for edge in news["edges"]}
        self.reports = {n: kept for n, kept in self.reports.items() if n in numbers}
        for edge in news["edges"]:
            kept = self.reports.setdefault(edge["number"], deque(maxlen=KEPT))
            kept.extend(edge["reports"])
            table.add_row(*_cells(edge, kept))
        title = f"{news['connected']} edges, {news['waiting']} pictures waiting"
        self.shown = Group(f"[bold]{title}[/]", table)


def _cells(edge: dict[str, Any], reports: deque[dict[str, Any]]) -> tuple[str, ...]:
    picture = edge["picture"]
    point = size = answer = "–"
    if picture:
        newest = picture["answers"][-1]
        point, size = str(newest["point"]), str(newest["payload_bytes"])
        answer = escape(shown(_said(newest)))
    capacity = met = "–"
    if reports:
        measured = reports[-1]["capacity"]
        capacity = f"{measured / 1000:.1f} kbit/s" if measured else "–"
        met = f"{sum(r['latency_ms'] <= r['budget_ms'] for r in reports) / len(reports):.0%}"
    return escape(shown(edge["name"])), f"{edge['pictures']:,}", point, size, capacity, met, answer


def _said(answer: dict[str, Any]) -> str:
    """A class, or what another task says."""
    if "classes" in answer:
        best = answer["classes"][0]
        return f"{best['name']} {best['probability']:.0%}"
    if "png" in answer:
        return "reconstructed"
    return json.dumps({key: value for key, value in answer.items() if key not in ("point", "payload_bytes")})


def dashboard(url: str, token: str | None, ca_file: Path | None, *, once: bool) -> None:
    """Shows the edges until the server stops; or once, as text."""
    screen, console = Screen(), Console()
    if once:
        screen.show(next(events(url, token, ca_file)))
        console.print(screen.shown)
        return
    with Live(get_renderable=lambda: screen.shown, console=console, screen=True, refresh_per_second=4):
        for news in events(url, token, ca_file):
            screen.show(news)
