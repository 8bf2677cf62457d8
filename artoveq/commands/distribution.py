"""push, pull, card, sign and verify: models on their way between people."""

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


def sign(
    model: Artifact,
    key: Annotated[Path, typer.Option(help="PEM: a private key of an elliptic curve, without a password.")],
) -> None:
    """Sign a model (OpenSSF model-signing): model.sig and signer.pem, the public key, come into its folder."""
    from wire.artifact import load_artifact
    from wire.signatures import sign as run

    of.console.print(f"{model} is signed by {run(load_artifact(model), key)}", soft_wrap=True)


def verify(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of the artifact, or oci://HOST/NAME:TAG.")],
    key: Annotated[Path, typer.Option(help="PEM: the public key of whom you trust.")],
) -> None:
    """Check every file of a model, and that it was signed with a key."""
    from wire.artifact import load_artifact
    from wire.distribution import model_folder
    from wire.signatures import check_signed

    artifact = load_artifact(model_folder(model))
    signer = check_signed(artifact, key)
    of.console.print(
        f"{artifact.manifest.name} ({artifact.manifest.fingerprint}) is signed by {signer}", soft_wrap=True
    )
