"""doctor and bench: whether everything is there, and what it gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from artoveq.commands import options as of
from artoveq.commands.options import console
from wire.shown import shown


@of.grouped
def doctor(
    *,
    server: Annotated[
        str,
        typer.Option(envvar="ARTOVEQ_SERVER", help="HOST:PORT of the gRPC service; this machine alone if left out."),
    ] = "",
    page: Annotated[str, typer.Option(metavar="URL", help="The server's page, to compare the clocks.")] = "",
    model: of.Model = None,
    credentials: of.Credentials,
) -> None:
    """Check what an edge and a server need: a line each, ok or what to do; exit code 1 where there is something."""
    from artoveq.doctor import findings

    faults = 0
    for finding in findings(server, page, model, credentials.security()):
        faults += bool(finding.fault)
        console.print(f"[{'red' if finding.fault else 'green'}]{escape(shown(str(finding)))}[/]", soft_wrap=True)
    if faults:
        raise typer.Exit(1)


@of.grouped
def bench(
    *,
    data: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="One folder for each class; the sample if left out.")
    ] = None,
    pictures: Annotated[int, typer.Option(min=1, help="How many of them.")] = 200,
    service: of.Service,
    budget: of.Budget = "50ms",
    payload: of.LabelPayload,
    credentials: of.Credentials,
) -> None:
    """Measure this machine and its link: accuracy, bytes, and where the time goes, as one JSON object."""
    from artoveq.bench import bench as run

    with service.client(credentials) as client:
        mode = payload.mode(client.encoder.manifest)
        print(json.dumps({"server": service.server, **run(client, mode, budget, data, pictures)}, indent=1))
