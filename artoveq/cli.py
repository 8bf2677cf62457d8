"""The command `artoveq`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from artoveq import __version__, configuration
from artoveq.commands import ask, distribution, edge, measuring, models, reconstruct, server, training
from artoveq.commands.options import errors
from artoveq.logs import set_up
from wire.exceptions import ArtoveqError
from wire.shown import shown

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="rich", context_settings={"auto_envvar_prefix": configuration.PREFIX[:-1]}
)
for command in (
    edge.classify,
    ask.ask,
    reconstruct.reconstruct,
    edge.watch,
    server.serve,
    server.health,
    server.dashboard,
    models.models,
    distribution.push,
    distribution.pull,
    distribution.card,
    distribution.sign,
    distribution.verify,
    measuring.doctor,
    measuring.bench,
    training.train,
    training.export,
    training.convert,
    training.local_head,
    training.int8,
    training.adapt,
    training.evaluate,
    training.compare,
    server.demo,
):
    app.command()(command)

MOST_OF_ERROR = 4000
"""Characters; some quote a list of files."""
EXTRA_OF = {
    "torch": "train",
    "torchvision": "train",
    "onnx": "train",
    "onnxscript": "train",
    "cv2": "camera",
    "paho": "mqtt",
    "oras": "oci",
    "ray": "ray",
}


def _version(asked: bool) -> None:
    if asked:
        print(f"artoveq {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(envvar=configuration.FILE, metavar="FILE", help="TOML: a table of options for each command."),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, allow_from_autoenv=False, help="Say it, and end."),
    ] = False,
) -> None:
    """Remote inference over links that keep changing. An option --NAME of COMMAND is ARTOVEQ_COMMAND_NAME, too."""
    commands: dict[str, Any] = context.command.commands  # type: ignore[attr-defined]
    known = {f"{configuration.PREFIX}{c.upper()}_{p.name.upper()}" for c in commands for p in commands[c].params}
    known |= {p.envvar for c in commands.values() for p in c.params if isinstance(p.envvar, str)}
    serving = context.invoked_subcommand == configuration.SERVE
    configuration.check_environment(os.environ, known, server.variables, strict=serving)
    if config is not None:
        named = {name: {_option(param): param.name for param in one.params} for name, one in commands.items()}
        taken = {**named, configuration.SERVE: server.settings()}
        tables = configuration.read(config, taken)
        context.obj = tables.pop(configuration.SERVE, {})
        context.default_map = {c: {named[c][key]: value for key, value in table.items()} for c, table in tables.items()}


def _option(parameter: Any) -> str:
    """Its name on the command line, as a key."""
    return str(max(parameter.opts, key=len)).lstrip("-").replace("-", "_")


def main() -> None:
    """Runs the command; an expected error is one sentence on standard error and exit code 1."""
    try:
        set_up()
        app()
    except ArtoveqError as error:
        errors.print(f"[red]error:[/] {escape(shown(str(error), MOST_OF_ERROR))}", soft_wrap=True)
        sys.exit(1)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        extra = EXTRA_OF.get(package, "server")
        errors.print(
            f"[red]error:[/] This command needs {package}; run `pip install 'artoveq\\[{extra}]'`.", soft_wrap=True
        )
        sys.exit(1)
