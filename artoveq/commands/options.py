"""Options that several commands share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

console, errors = Console(highlight=False), Console(stderr=True, highlight=False)


def seconds(text: str) -> float:
    """ "50ms", "0.2s" or "0.2" to seconds."""
    from edge_client.modes import seconds_of
    from wire.exceptions import UsageError

    try:
        return seconds_of(text)
    except UsageError as error:
        raise typer.BadParameter(str(error)) from None


def number(text: str) -> int:
    """A number; whether the model has what it stands for is checked against the model."""
    if not re.fullmatch(r"-?\d+", text.strip()):
        raise typer.BadParameter(f"{text!r} is not a number; write for example 4.")
    return int(text)


def parts(text: str) -> str:
    """What a spool keeps of a picture."""
    if text not in ("planes", "picture", "both"):
        raise typer.BadParameter(f"{text!r} is none of planes, picture and both.")
    return text


Data = Annotated[str, typer.Option(help="A folder with one folder per class, or imagewoof:DIR or cifar100:DIR.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at a picture that cannot be read; else it is left out.")]
Runs = Annotated[Path, typer.Option(help="Where checkpoints are kept.")]
Models = Annotated[Path, typer.Option(help="The artifact is written into a folder of its name in here.")]
Tls = Annotated[bool, typer.Option("--tls", help="Encrypt; the server must speak TLS.")]
CaFile = Annotated[Path | None, typer.Option(help="PEM file: whose certificates are trusted.")]
Certificate = Annotated[Path | None, typer.Option(help="PEM file: this edge's certificate (mutual TLS).")]
Key = Annotated[Path | None, typer.Option(help="PEM file: its private key.")]
Token = Annotated[
    str | None, typer.Option(envvar="ARTOVEQ_TOKEN", show_envvar=True, help="For a server that wants one.")
]
Server = Annotated[str, typer.Option(envvar="ARTOVEQ_SERVER", help="HOST:PORT of the gRPC service.")]
Budget = Annotated[Any, typer.Option(parser=seconds, metavar="TIME", help="From picture to answer.")]
Point = Annotated[
    Any, typer.Option(parser=number, metavar="N", help="Operating point; chosen by the budget if left out.")
]
Level = Annotated[Any, typer.Option(parser=number, metavar="L", help="The point with L bits for every sub-vector.")]
Bytes = Annotated[
    Any, typer.Option("--bytes", parser=number, metavar="N", help="The best point of at most so many bytes.")
]
Progressive = Annotated[bool, typer.Option("--progressive", help="Stream plane by plane, refine.")]
Webp = Annotated[bool, typer.Option("--webp", help="Send small files; the server runs the encoder, too.")]
MinConfidence = Annotated[
    float, typer.Option(min=0, max=1, metavar="SHARE", help="With --progressive: stop once the answer is so sure.")
]
TopK = Annotated[int, typer.Option(min=1, help="How many classes to name.")]
Fingerprint = Annotated[str, typer.Option(metavar="HEX", help="The one model that is taken, as `serve` prints it.")]
Model = Annotated[Path | None, typer.Option(help="The artifact; fetched from the server if left out.")]
Spool = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Keep pictures here while no server answers; answer them later.")
]
SpoolPictures = Annotated[int, typer.Option(min=1, help="How many are kept; then the oldest are dropped.")]
SpoolParts = Annotated[
    Any,
    typer.Option(
        parser=parts,
        metavar="planes|picture|both",
        help="What is kept of each: its planes, for this model alone; the picture, for any; or both.",
    ),
]
