"""serve, health, dashboard and demo."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from artoveq.commands import options as of
from artoveq.configuration import PREFIX, check
from artoveq.logs import set_up
from wire.exceptions import ServerUnavailable, SettingsError

DEMO_MODEL = Path(__file__).parent.parent / "demo" / "model"
"""A link into `models` here, and a folder of the package where that is installed."""


def serve(
    context: typer.Context,
    model: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of the artifact, or oci://HOST/NAME:TAG; may be given again for further models."),
    ] = None,
    models: Annotated[
        Path | None, typer.Option(help="Folder whose folders are artifacts: those that come are served, too.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of gRPC; 0 takes a free one.")] = None,
    http_port: Annotated[int | None, typer.Option(help="Port of REST; 0 takes a free one.")] = None,
    tls_self_signed: Annotated[
        bool, typer.Option("--tls-self-signed", help="Speak TLS with a certificate that the server makes itself.")
    ] = False,
    workers: Annotated[int | None, typer.Option(help="Processes that share the ports.")] = None,
    precision: Annotated[
        str | None, typer.Option(metavar="auto|fp32|int8", help="Of decoders on the CPU; auto: the faster one here.")
    ] = None,
    store: Annotated[
        str | None, typer.Option(help="redis://HOST:PORT/0, where several servers remember answers together.")
    ] = None,
    require_signature: Annotated[
        Path | None, typer.Option(metavar="KEY", help="PEM: a public key; serve no model that was not signed with it.")
    ] = None,
    ray: Annotated[
        bool, typer.Option("--ray", help="On Ray Serve, here or on the cluster that RAY_ADDRESS names (docs/scale.md).")
    ] = False,
    further: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Any setting, as docs/settings.md lists them; may be repeated."
        ),
    ] = None,
) -> None:
    """Serve models: gRPC for edges, REST for everyone. A setting NAME is the variable ARTOVEQ_NAME, too."""
    from inference_server.lifetime import end
    from inference_server.server import serve as run
    from inference_server.settings import Settings, read_settings
    from inference_server.workers.supervisor import supervise

    given: dict[str, Any] = {"model": tuple(model or ()), "host": host, "port": port, "http_port": http_port}
    given |= {"models": models, "store": store, "require_signature": require_signature, "workers": workers}
    given |= {"precision": precision}
    given = {name: value for name, value in given.items() if value not in (None, ())}
    if tls_self_signed:
        given["tls_self_signed"] = True
    for one in further or ():
        name, equals, value = one.partition("=")
        if not equals:
            raise SettingsError(f"{one!r} sets nothing; write --set NAME=VALUE.")
        given[name.replace("-", "_")] = value
    check(given, Settings.model_fields, "There is no setting")
    wanted = read_settings(context.obj or {}, **given)
    if ray:
        from inference_server.ray_serve.serving import serve as run_on_ray

        run_on_ray(wanted)
        return
    asyncio.run(run(wanted) if wanted.workers == 1 else supervise(wanted, set_up))
    end()


def settings() -> frozenset[str] | None:
    """The names of what `serve` takes; None where the server is not installed, so that nobody can say."""
    try:
        from inference_server.settings import Settings
    except ModuleNotFoundError:
        return None
    return frozenset(Settings.model_fields)


def variables() -> set[str]:
    """Their environment variables."""
    return {f"{PREFIX}{name.upper()}" for name in settings() or ()}


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
    model: Annotated[Path, typer.Option(help="Folder of the artifact, or oci://HOST/NAME:TAG.")] = DEMO_MODEL,
    trace: Annotated[Path | None, typer.Option(help="CSV of seconds,kilobits per second.")] = None,
    budget: of.Budget = "150ms",
    length: Annotated[Any, typer.Option("--length", parser=of.seconds, metavar="TIME")] = "24s",
) -> None:
    """Watch an edge and a server talk over a link that keeps changing."""
    from artoveq.demo.show import run_demo
    from artoveq.processes import terminated_as_interrupted
    from wire.distribution import model_folder

    os.environ.setdefault("ARTOVEQ_LOG_LEVEL", "WARNING")  # of its processes, whose lines would break the table
    with contextlib.suppress(KeyboardInterrupt), terminated_as_interrupted():
        run_demo(model_folder(model), trace, budget, length)
