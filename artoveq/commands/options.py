"""Options that several commands share: one by one, and as groups that a command takes as one parameter."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer
from rich.console import Console

if TYPE_CHECKING:
    import edge_client
    from edge_client.modes import Mode
    from edge_client.rate import RatePolicy
    from wire.manifest import Manifest

BYTE_UNITS = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}
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


def share(text: str) -> float:
    """A probability; its range is said in a sentence."""
    from edge_client.modes import Progressive as Mode
    from wire.exceptions import UsageError

    try:
        return Mode(min_confidence=float(text)).min_confidence
    except (ValueError, UsageError) as error:
        raise typer.BadParameter(f"min_confidence is a probability from 0 to 1, not {text}.") from error


def byte_count(text: str) -> float:
    """ "20MB", "500 kB" or "1e6" to bytes."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?(?:e\d{1,2})?)\s*([kMG]?)B?\s*", text)
    count = float(match[1]) * BYTE_UNITS[match[2]] if match else 0.0
    if not count:
        raise typer.BadParameter(f"{text!r} is no number of bytes above 0; write for example 20MB.")
    return count


def parts(text: str) -> str:
    """What a spool keeps of a picture."""
    if text not in ("planes", "picture", "both"):
        raise typer.BadParameter(f"{text!r} is none of planes, picture and both.")
    return text


Data = Annotated[
    str,
    typer.Option(
        help="A folder with one folder per class, or imagewoof:DIR, cifar100:DIR or easyvqa; questions:DATA asks about "
        "the classes of one of these."
    ),
]
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
    Any,
    typer.Option(
        parser=number, metavar="N", help="Operating point, 0 for the edge alone; chosen by the budget if left out."
    ),
]
Level = Annotated[Any, typer.Option(parser=number, metavar="L", help="The point with L bits for every sub-vector.")]
Bytes = Annotated[
    Any, typer.Option("--bytes", parser=number, metavar="N", help="The best point of at most so many bytes.")
]
Progressive = Annotated[bool, typer.Option("--progressive", help="Stream plane by plane, refine.")]
Webp = Annotated[bool, typer.Option("--webp", help="Send small files; the server runs the encoder, too.")]
MinConfidence = Annotated[
    Any, typer.Option(parser=share, metavar="SHARE", help="With --progressive: stop once the answer is so sure.")
]
BytesPerDay = Annotated[
    Any,
    typer.Option(
        parser=byte_count,
        metavar="SIZE",
        help="For metered links, as in 20MB: it picks itself how sure is sure enough.",
    ),
]
TopK = Annotated[int, typer.Option(min=1, help="How many classes to name.")]
Fingerprint = Annotated[str, typer.Option(metavar="HEX", help="The one model that is taken, as `serve` prints it.")]
Model = Annotated[
    Path | None, typer.Option(help="The artifact, or oci://HOST/NAME:TAG; fetched from the server if left out.")
]
SpoolFile = Annotated[
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


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command as typer reads it: for each parameter that is a group, the group's fields are options."""
    # Not by get_type_hints: Python 3.10's hides what is Annotated where the default is None.
    parameters = inspect.signature(command, eval_str=True).parameters
    groups: dict[str, type[Any]] = {
        name: one.annotation
        for name, one in parameters.items()
        if isinstance(one.annotation, type) and is_dataclass(one.annotation)
    }
    options: list[inspect.Parameter] = []
    for name, parameter in parameters.items():
        if name in groups:
            of_group = get_type_hints(groups[name], include_extras=True)
            options += [_option(field.name, field.default, of_group[field.name]) for field in fields(groups[name])]
        else:
            options.append(_option(name, parameter.default, parameter.annotation))

    @functools.wraps(command)
    def run(**given: Any) -> None:
        made = {
            name: group(**{one.name: given.pop(one.name) for one in fields(group)}) for name, group in groups.items()
        }
        command(**given, **made)

    run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    run.__annotations__ = {option.name: option.annotation for option in options}
    return run


def _option(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


@dataclass(frozen=True)
class Credentials:
    """Whom an edge trusts, and who it is."""

    tls: Tls = False
    ca_file: CaFile = None
    certificate: Certificate = None
    key: Key = None
    token: Token = None

    def security(self) -> edge_client.Security:
        """The same, as clients take it."""
        from edge_client import Security

        return Security(self.tls, self.ca_file, self.certificate, self.key, self.token)


@dataclass(frozen=True)
class Service:
    """The server that is asked, and the model that it must have."""

    server: Server = "localhost:50051"
    model: Model = None
    fingerprint: Fingerprint = ""

    def client(
        self, credentials: Credentials, *, offline: bool = False, policy: RatePolicy | None = None
    ) -> edge_client.Client:
        """Of this server."""
        from edge_client import Client

        return Client(
            self.server,
            self.model,
            fingerprint=self.fingerprint,
            policy=policy,
            security=credentials.security(),
            offline=offline,
        )

    def async_client(
        self, credentials: Credentials, name: str, *, offline: bool = False, policy: RatePolicy | None = None
    ) -> edge_client.AsyncClient:
        """The same for coroutines, with the name that the page shows."""
        from edge_client import AsyncClient

        return AsyncClient(
            self.server,
            self.model,
            fingerprint=self.fingerprint,
            name=name,
            policy=policy,
            security=credentials.security(),
            offline=offline,
        )


@dataclass(frozen=True)
class Payload:
    """What is sent of a picture: the operating point, at once or plane by plane."""

    point: Point = None
    level: Level = None
    max_bytes: Bytes = None
    progressive: Progressive = False

    def mode(self, manifest: Manifest) -> Mode:
        """How pictures are sent with this model.

        Raises:
            UsageError: if options contradict each other, or the model has no such point.
        """
        from edge_client import modes
        from wire.exceptions import UsageError

        if self._asked > 1:
            raise UsageError("Give one of --point, --level and --bytes.")
        number = (
            modes.point_for(manifest, point=self.point, level=self.level, max_bytes=self.max_bytes)
            if self._asked
            else None
        )
        if self.progressive and number == 0:
            raise UsageError("For the edge's own answer nothing is streamed; leave --progressive off.")
        return modes.Progressive(point=number) if self.progressive else modes.OneShot(point=number)

    @property
    def _asked(self) -> int:
        return sum(choice is not None for choice in (self.point, self.level, self.max_bytes))


@dataclass(frozen=True)
class LabelPayload(Payload):
    """What is sent of a picture whose answer is classes: also a small file, and no more than the answer needs."""

    min_confidence: MinConfidence = 1.0
    webp: Webp = False
    bytes_per_day: BytesPerDay = None

    def policy(self) -> RatePolicy | None:
        """What decides how much is sent, where that is not ours: --bytes-per-day."""
        from edge_client.rate import BytesPerDay as Metered

        return None if self.bytes_per_day is None else Metered(self.bytes_per_day)

    def mode(self, manifest: Manifest) -> Mode:
        """As every payload's; with --webp a file; with --bytes-per-day plane by plane.

        Raises:
            PointError: if there is nothing to answer with once a day's bytes are spent.
        """
        from edge_client.modes import File, Progressive
        from wire.exceptions import UsageError
        from wire.local_head import local_head_of

        if self.bytes_per_day is not None:
            if self._asked or self.webp or self.min_confidence < 1:
                raise UsageError(
                    "--bytes-per-day decides itself what is sent; leave --point, --level, --bytes, --webp and "
                    "--min-confidence off."
                )
            local_head_of(manifest)
            return Progressive()
        if not self.webp:
            mode = super().mode(manifest)
            return replace(mode, min_confidence=self.min_confidence) if isinstance(mode, Progressive) else mode
        if self._asked or self.progressive:
            raise UsageError("A file has no operating point and no planes; leave --webp off, or the others.")
        return File()


@dataclass(frozen=True)
class Spooling:
    """Where pictures wait for a server."""

    spool: SpoolFile = None
    spool_pictures: SpoolPictures = 10000
    spool_parts: SpoolParts = "both"

    def open(self) -> edge_client.Spool | None:
        """None without a file."""
        from edge_client import Spool

        return None if self.spool is None else Spool(self.spool, self.spool_pictures, self.spool_parts)
