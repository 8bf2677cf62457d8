"""doctor and bench: whether everything is there, and what it gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from artoveq.commands import options as of
from artoveq.commands.edge import mode_of
from artoveq.commands.options import console
from wire.shown import shown


def doctor(
    server: Annotated[
        str,
        typer.Option(envvar="ARTOVEQ_SERVER", help="HOST:PORT of the gRPC service; this machine alone if left out."),
    ] = "",
    page: Annotated[str, typer.Option(metavar="URL", help="The server's page, to compare the clocks.")] = "",
    model: of.Model = None,
    tls: of.Tls = False,
    ca_file: of.CaFile = None,
    certificate: of.Certificate = None,
    key: of.Key = None,
    token: of.Token = None,
) -> None:
    """Check what an edge and a server need: a line each, ok or what to do; exit code 1 where there is something."""
    from artoveq.doctor import findings
    from edge_client import Security

    faults = 0
    for finding in findings(server, page, model, Security(tls, ca_file, certificate, key, token)):
        faults += bool(finding.fault)
        console.print(f"[{'red' if finding.fault else 'green'}]{escape(shown(str(finding)))}[/]", soft_wrap=True)
    if faults:
        raise typer.Exit(1)


def bench(
    data: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="One folder for each class; the sample if left out.")
    ] = None,
    pictures: Annotated[int, typer.Option(min=1, help="How many of them.")] = 200,
    server: of.Server = "localhost:50051",
    budget: of.Budget = "50ms",
    point: of.Point = None,
    level: of.Level = None,
    max_bytes: of.Bytes = None,
    progressive: of.Progressive = False,
    min_confidence: of.MinConfidence = 1.0,
    webp: of.Webp = False,
    model: of.Model = None,
    fingerprint: of.Fingerprint = "",
    tls: of.Tls = False,
    ca_file: of.CaFile = None,
    certificate: of.Certificate = None,
    key: of.Key = None,
    token: of.Token = None,
) -> None:
    """Measure this machine and its link: accuracy, bytes, and where the time goes, as one JSON object."""
    from artoveq.bench import bench as run
    from edge_client import Client, Security

    security = Security(tls, ca_file, certificate, key, token)
    with Client(server, model, fingerprint=fingerprint, security=security) as client:
        mode = mode_of(
            client.encoder.manifest,
            point=point,
            level=level,
            max_bytes=max_bytes,
            progressive=progressive,
            min_confidence=min_confidence,
            webp=webp,
        )
        print(json.dumps({"server": server, **run(client, mode, budget, data, pictures)}, indent=1))
