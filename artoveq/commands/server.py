"""serve, health, dashboard and demo."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Annotated, Any

import typer

from artoveq.commands import options as of
from wire.exceptions import ServerUnavailable

DEMO_MODEL = Path(__file__).parent.parent / "demo" / "model"
"""A link into `models` here, and a folder of the package where that is installed."""


def serve(
    model: Annotated[list[Path], typer.Option(help="Folder of the artifact; may be given again for further models.")],
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of gRPC; 0 takes a free one.")] = None,
    http_port: Annotated[int | None, typer.Option(help="Port of REST; 0 takes a free one.")] = None,
) -> None:
    """Serve models: gRPC for edges, REST for everyone. Further settings are environment variables ARTOVEQ_…"""
    from inference_server.lifetime import end
    from inference_server.server import serve as run
    from inference_server.settings import read_settings

    given = {"host": host, "port": port, "http_port": http_port}
    asyncio.run(run(read_settings(model=model, **{k: v for k, v in given.items() if v is not None})))
    end()


def health(
    host: Annotated[str | None, typer.Option(help="The server's own option.")] = None,
    http_port: Annotated[int | None, typer.Option(help="The server's own option.")] = None,
) -> None:
    """Ask the server on this machine whether it takes work; exit code 0 if so. For the rest its settings are read."""
    from inference_server.health import of_environment

    if fault := of_environment(host, http_port):
        raise ServerUnavailable(fault)


def dashboard(
    page: Annotated[str, typer.Argument(help="Address of the server's page.")] = "http://localhost:8080",
    ca_file: of.CaFile = None,
    token: of.Token = None,
    once: Annotated[bool, typer.Option("--once", help="Print once, and end.")] = False,
) -> None:
    """Watch a server's edges in a terminal: points, capacities, deadlines, what waits."""
    from artoveq.dashboard import dashboard as run

    with contextlib.suppress(KeyboardInterrupt):
        run(page, token, ca_file, once=once)


def demo(
    model: Annotated[Path, typer.Option(help="Folder of the artifact.")] = DEMO_MODEL,
    trace: Annotated[Path | None, typer.Option(help="CSV of seconds,kilobits per second.")] = None,
    budget: of.Budget = "150ms",
    length: Annotated[Any, typer.Option("--length", parser=of.seconds, metavar="TIME")] = "24s",
) -> None:
    """Watch an edge and a server talk over a link that keeps changing."""
    from artoveq.demo.show import run_demo

    run_demo(model, trace, budget, length)
