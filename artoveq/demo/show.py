"""What the demo shows: the link, the level, the answer as it forms, and at the end a summary."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from artoveq.demo.relay import Relay
from artoveq.processes import server_process
from edge_client.report import CODEC_QUALITY
from edge_client.transport.emulated import CapacityTrace
from wire.exceptions import ServerError

ROWS_SHOWN = 12
ANSWER = "answer, as it forms"
COLUMNS = {"time": 6, "link kbit/s": 11, "measured": 8, "sent": 14, "bytes": 5, "latency": 23, ANSWER: 0}
"""Titles, and the width of each where lines are printed one by one."""
DEFAULT_TRACE = Path(__file__).parent / "trace.csv"


@dataclass
class Row:
    """One picture, as far as it has come."""

    at: float
    name: str
    progressive: bool
    true_capacity: float
    answers: list[dict[str, Any]] = field(default_factory=list)
    result: dict[str, Any] | None = None

    def cells(self, budget: float) -> tuple[str, ...]:
        """The row of the table: what is known of this picture now."""
        measured = (self.result or {}).get("capacity")
        answer = " → ".join(_brief(p, last=p is self.answers[-1]) for p in _thinned(self.answers))
        if self.result is None:
            return (f"{self.at:.1f} s", _kbit(self.true_capacity), "", self._mode(), "", "", answer)
        mark = "[green]in time[/]" if self.result["met"] else "[red]late[/]"
        latency = self.result["first_after"] if self.progressive else self.result["latency"]
        timing = f"{latency * 1000:.0f} of {budget * 1000:.0f} ms {mark}"
        return (
            f"{self.at:.1f} s", _kbit(self.true_capacity), _kbit(measured), self._mode(),
            f"{self.result['bytes']} B", timing, answer,
        )  # fmt: skip

    def _mode(self) -> str:
        point = self.answers[-1]["point"] if self.answers else "?"
        if point == 0:
            return "the edge alone"
        return f"planes to {point}" if self.progressive else f"point {point}"


def _thinned(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return answers if len(answers) <= 3 else [answers[0], answers[len(answers) // 2], answers[-1]]


def _brief(answer: dict[str, Any], *, last: bool) -> str:
    best = answer["classes"][0]
    return f"{best['name']} {best['probability']:.0%}" if last else f"{best['name']} [dim]{best['probability']:.0%}[/]"


def _kbit(bits: float | None) -> str:
    return "–" if bits is None else f"{bits / 1000:.0f}"


class Screen:
    """A live table in a terminal; plain lines elsewhere."""

    def __init__(self, console: Console, budget: float) -> None:
        self.console, self.budget = console, budget
        self.rows: deque[Row] = deque(maxlen=ROWS_SHOWN)

    def table(self) -> Group:
        table = Table(box=None, header_style="bold", pad_edge=False)
        for title in COLUMNS:
            table.add_column(title, no_wrap=title != ANSWER)
        for row in self.rows:
            table.add_row(*row.cells(self.budget))
        return Group(Text("An edge, a server, and a link that keeps changing", style="bold"), table)

    def line(self, row: Row) -> None:
        """The row as a line, where there is no terminal to redraw."""
        if not self.console.is_terminal:
            cells = [Text.from_markup(cell) for cell in row.cells(self.budget)]
            for cell, width in zip(cells, COLUMNS.values(), strict=True):
                cell.pad_right(max(0, width - cell.cell_len))
            self.console.print(*cells, sep="  ", soft_wrap=True)


def run_demo(model: Path, trace: Path | None, budget: float, length: float, console: Console | None = None) -> None:
    """Runs the demo and prints its summary."""
    console = console or Console(highlight=False)
    screen = Screen(console, budget)
    with server_process(model) as server:
        console.print(f"Server on {server.address}; page on http://127.0.0.1:{server.http_port}/")
        if not console.is_terminal:
            console.print("  ".join(title.ljust(width) for title, width in COLUMNS.items()))
        results = asyncio.run(
            _watch(screen, CapacityTrace.read(trace or DEFAULT_TRACE), server.port, model, budget, length)
        )
    print_summary(console, results, budget)
    console.print(f"\nServe this model yourself: artoveq serve --model {shlex.quote(str(model))}", soft_wrap=True)


async def _watch(
    screen: Screen, trace: CapacityTrace, server_port: int, model: Path, budget: float, length: float
) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    async with Relay(trace, server_port) as link:
        edge = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "artoveq.demo.edge", f"127.0.0.1:{link.port}", str(model), str(budget), str(length),
            stdout=asyncio.subprocess.PIPE, start_new_session=True,  # what interrupts this one ends it, in order
        )  # fmt: skip
        assert edge.stdout is not None
        began, row = time.monotonic(), None
        try:
            drawn = Live(get_renderable=screen.table, console=screen.console, transient=True, auto_refresh=False)
            with drawn:
                async for line in edge.stdout:
                    event = json.loads(line)
                    if event["kind"] == "ready":
                        link.restart()
                        began = time.monotonic()
                    elif event["kind"] == "frame":
                        row = Row(time.monotonic() - began, event["name"], event["progressive"], link.capacity)
                        screen.rows.append(row)
                    elif event["kind"] == "answer" and row is not None:
                        row.answers.append(event["answer"])
                    elif event["kind"] == "result" and row is not None:
                        row.result = event
                        results.append({**event, "progressive": row.progressive})
                        screen.line(row)
                    elif event["kind"] == "error":
                        raise ServerError(event["message"])
                    drawn.refresh()  # here, and in no thread that would meet a row half written
            if await edge.wait() or not results:
                raise ServerError("The edge stopped before it had an answer; see its message above.")
        finally:
            if edge.returncode is None:
                edge.terminate()
                await edge.wait()
    return results


def print_summary(console: Console, results: list[dict[str, Any]], budget: float) -> None:
    """The last lines: accuracy where labels are known, deadlines met, bytes against JPEG and WebP."""
    console.print("\n[bold]Summary[/]")
    for title, rows in (
        ("one-shot", [r for r in results if not r["progressive"]]),
        ("progressive", [r for r in results if r["progressive"]]),
    ):
        if not rows:
            continue
        right = sum(r["best"] == r["label"] for r in rows)
        met = sum(r["met"] for r in rows)
        alone = sum(r["alone"] for r in rows)
        sizes = [r["bytes"] for r in rows]
        console.print(
            f"  {title:<12} {met} of {len(rows)} pictures answered within {budget * 1000:.0f} ms "
            f"({met / len(rows):.0%}){f', {alone} by the edge alone' if alone else ''}, {right} named rightly; "
            f"{sum(sizes) / len(sizes):.0f} bytes on average ({min(sizes)} to {max(sizes)})",
            soft_wrap=True,
        )
    ours = sum(r["bytes"] for r in results) / len(results)
    for codec in ("JPEG", "WebP"):
        theirs = sum(r["codecs"][codec] for r in results) / len(results)
        console.print(
            f"  {codec:<12} would have taken {theirs:.0f} bytes on average at quality {CODEC_QUALITY}, "
            f"{theirs / ours:.1f} times as many",
            soft_wrap=True,
        )
