"""The command `artoveq`."""

from __future__ import annotations

import os
import sys

import typer
from rich.markup import escape

from artoveq.commands import edge, reconstruct, server, training
from artoveq.commands.options import errors
from artoveq.logs import set_up
from wire.exceptions import ArtoveqError
from wire.shown import shown

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich")
for command in (
    edge.classify,
    reconstruct.reconstruct,
    edge.watch,
    server.serve,
    server.health,
    server.dashboard,
    training.train,
    training.export,
    training.convert,
    training.evaluate,
    server.demo,
):
    app.command()(command)

MOST_OF_ERROR = 4000
"""Characters; some quote a list of files."""
EXTRA_OF = {"torch": "train", "torchvision": "train", "onnx": "train", "cv2": "camera", "paho": "mqtt"}


def main() -> None:
    """Runs the command; an expected error is one sentence on standard error and exit code 1."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what it says of a connection, an error of ours says in a sentence
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
