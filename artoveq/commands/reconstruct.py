"""reconstruct: pictures over the link as indices, and back as PNG files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from artoveq.commands import options as of
from artoveq.commands.edge import sources
from wire.exceptions import PictureError, UsageError
from wire.shown import shown
from wire.tasks import RECONSTRUCTION


@of.grouped
def reconstruct(
    pictures: Annotated[
        list[str], typer.Argument(help="JPEG, PNG or WebP files, folders of them, or - for standard input.")
    ],
    into: Annotated[
        Path, typer.Option(metavar="DIR", help="Where the PNG files go, each by its picture's name.")
    ] = Path("reconstructed"),
    *,
    service: of.Service,
    budget: of.Budget = "50ms",
    payload: of.Payload,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    credentials: of.Credentials,
) -> None:
    """Send pictures within a latency budget, and keep what the server makes of their bytes."""
    named = _files(pictures, into)
    failed = False
    with service.client(credentials) as client:
        manifest = client.encoder.manifest
        if manifest.task.name != RECONSTRUCTION:
            raise UsageError(
                f"{manifest.name} answers by {manifest.task.name}, not with a picture; ask a server whose model "
                "reconstructs, or use `artoveq classify`."
            )
        mode = payload.mode(manifest)
        into.mkdir(parents=True, exist_ok=True)
        for file, (name, source) in named.items():
            try:
                result = client.predict(source, mode, budget=budget)
            except PictureError as error:  # the other pictures are still worth an answer
                failed = True
                print(json.dumps({"picture": name, "error": str(error)}) if as_json else shown(f"error: {error}"))
                continue
            file.write_bytes(result.answers[-1].value.png)
            record = {key: value for key, value in result.as_record().items() if key not in ("answer", "answers")}
            late = "" if result.deadline_met else "  late"
            line = f"{name}: {file}  {result.payload_bytes} bytes, point {result.point}, {result.latency * 1000:.0f} ms"
            print(
                json.dumps({"picture": name, "png": str(file), **record}) if as_json else shown(line + late), flush=True
            )
    if failed:
        raise typer.Exit(1)


def _files(names: list[str], into: Path) -> dict[Path, tuple[str, bytes | Path]]:
    """The PNG file of each picture.

    Raises:
        UsageError: if two would have the same.
    """
    found: dict[Path, tuple[str, bytes | Path]] = {}
    for name, source in sources(names):
        file = into / f"{'picture' if name == '-' else Path(name).stem}.png"
        if file in found:
            raise UsageError(f"{found[file][0]} and {name} would both be {file}; reconstruct them into two folders.")
        found[file] = name, source
    return found
