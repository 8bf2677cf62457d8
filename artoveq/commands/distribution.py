"""push, pull and card: models between a folder and a registry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from artoveq.commands import options as of

Artifact = Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of the artifact.")]
At = Annotated[str, typer.Argument(metavar="ADDRESS", help="oci://HOST/NAME:TAG; to pull also …@sha256:DIGEST.")]


def push(model: Artifact, address: At) -> None:
    """Put a model, with its card and its signature, into a registry of OCI artifacts."""
    from artoveq.card import card
    from wire.distribution.address import parse_address
    from wire.distribution.push import push as run

    where = parse_address(address)
    of.console.print(f"{where} is {run(model, where, card)}", soft_wrap=True)


def pull(
    address: At,
    folder: Annotated[Path | None, typer.Argument(help="Where it is put; named as the model if left out.")] = None,
) -> None:
    """Fetch a model from a registry of OCI artifacts; what a try that failed has fetched is kept for the next one."""
    from wire.distribution.address import parse_address
    from wire.distribution.pull import pull_into

    where = parse_address(address)
    into = folder or Path(where.name.rpartition("/")[2])
    digest = pull_into(where, into)
    of.console.print(f"{into} is oci://{where.host}/{where.name}@sha256:{digest}", soft_wrap=True)


def card(
    model: Artifact,
    licence: Annotated[str, typer.Option(metavar="SPDX", help="Under which the model may be used.")] = "",
    results: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="JSON of benchmarks; those of this model are shown.")
    ] = None,
) -> None:
    """Write README.md into a model's folder: what it is, costs and gives, as hubs of models show it."""
    from artoveq.card import card as text_of
    from artoveq.card import read_results
    from wire.artifact import CARD, load_artifact

    text = text_of(load_artifact(model).manifest, licence, read_results(results) if results else [])
    (model / CARD).write_text(text, encoding="utf-8")
    of.console.print(f"{model / CARD} is written.", soft_wrap=True)
