"""python -m benchmarks.service: figures as JSON, printed and written to results/."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.command import NESTED, SHIPPED
from benchmarks.command import run as run_command
from benchmarks.results import Bar, write_results
from wire.exceptions import UsageError

app = typer.Typer(no_args_is_help=True, add_completion=False)
Model = Annotated[Path, typer.Option(help="Folder of the artifact.")]


@app.callback()
def service() -> None:
    """What the server stands."""


@app.command()
def hostile(
    model: Model = SHIPPED,
    messages: Annotated[int, typer.Option(min=1, help="How many are sent.")] = 200_000,
    seed: int = 0,
) -> None:
    """Messages of every wrong kind, and garbage on both ports: no crash, no fault in the log, no growth."""
    from benchmarks.service.hostile import hostile as run

    _tell("hostile", asyncio.run(run(model, messages, seed)))


@app.command()
def throughput(
    model: Model = SHIPPED,
    streams: Annotated[int, typer.Option(min=1)] = 64,
    batch: Annotated[int, typer.Option(min=1, help="Pictures in a batch.")] = 32,
    precision: Annotated[str, typer.Option(metavar="fp32|int8", help="int8: beside fp32, and nothing else.")] = "fp32",
) -> None:
    """Pictures a second at saturation, beside the bare decoder; queueing at half load under two batch windows."""
    from benchmarks.service.precision import precisions
    from benchmarks.service.throughput import throughput as run

    if precision not in ("fp32", "int8"):
        raise UsageError(f"There is no precision {precision!r}; write fp32 or int8.")
    if precision == "int8":
        _tell("precision", asyncio.run(precisions(model, streams, batch)))
    _tell("throughput", asyncio.run(run(model, streams, batch, (1.0, 5.0))))


@app.command()
def beside(
    other: Annotated[Path, typer.Argument(help="Another checkout of artoveq, with its environment.")],
    model: Model = SHIPPED,
    streams: Annotated[int, typer.Option(min=1)] = 64,
    batch: Annotated[int, typer.Option(min=1, help="Pictures in a batch.")] = 32,
    pairs: Annotated[int, typer.Option(min=1)] = 7,
) -> None:
    """Pictures a second at saturation, beside another checkout's, in turn."""
    from benchmarks.service.beside import beside as run

    _tell("beside", run(other, model, streams, batch, pairs))


@app.command()
def peers(
    model: Model = SHIPPED,
    streams: Annotated[int, typer.Option(min=1)] = 64,
    only: Annotated[list[str] | None, typer.Option(help="A server; as often as wanted. All if left out.")] = None,
    seconds: Annotated[float, typer.Option(min=0.5, help="Of a round at saturation.")] = 4.0,
) -> None:
    """The same decoder and pictures behind artoveq, LitServe, FastAPI and Ray Serve: pictures a second, latencies."""
    from benchmarks.service.peers.comparison import peers as run

    _tell("-".join(["peers", *(only or ())]), asyncio.run(run(model, streams, tuple(only or ()), seconds)))


@app.command()
def workers(
    model: Model = SHIPPED,
    before: Annotated[str, typer.Option(help="The commit that the event loop is compared with.")] = "09c955e",
    streams: Annotated[int, typer.Option(min=1)] = 64,
    rounds: Annotated[int, typer.Option(min=1, help="Of each server, in turn.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.5, help="Of a round.")] = 6.0,
) -> None:
    """CPU a picture: of the event loop, beside another commit's; of all processes, with 1, 2 and 4 workers."""
    from benchmarks.service.workers import workers as run

    _tell("workers", asyncio.run(run(model, before, streams, rounds, seconds)))


@app.command()
def wire(model: Model = SHIPPED) -> None:
    """Bytes on the interface for each byte of payload, with 1, 8 and 64 pictures in flight; wants root."""
    from benchmarks.service.wire import wire as run

    _tell("wire", run(model))


@app.command()
def fleet(
    model: Model = SHIPPED,
    idle: Annotated[int, typer.Option(min=1, help="Streams that say nothing.")] = 1000,
    slow: Annotated[int, typer.Option(min=1, help="Streams with a picture every 20 s.")] = 1000,
) -> None:
    """Thousands of streams beside 64 busy ones: throughput, memory a stream."""
    from benchmarks.service.crowd import fleet as run

    _tell("fleet", asyncio.run(run(model, idle, slow)))


@app.command()
def soak(
    model: Model = SHIPPED,
    pictures: Annotated[int, typer.Option(min=1)] = 200_000,
    streams: Annotated[int, typer.Option(min=40, help="That come and go.")] = 10_000,
    seed: int = 0,
) -> None:
    """Streams that come and go: every answer the right one, memory flat."""
    from benchmarks.service.crowd import soak as run

    _tell("soak", asyncio.run(run(model, pictures, streams, seed)))


@app.command()
def faults(model: Model = SHIPPED, kills: Annotated[int, typer.Option(min=1)] = 50, seed: int = 0) -> None:
    """Servers killed and stopped, links cut, clocks stepped, a disk full: each picture answered once or failed."""
    from benchmarks.service.faults import faults as run

    _tell("faults", run(model, kills, seed))


@app.command()
def attacks(
    model: Model = SHIPPED,
    only: Annotated[list[str] | None, typer.Option(help="A case; as often as wanted. All if left out.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Of each flood, each followed by one against a sink.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.5, help="Of a round.")] = 4.5,
) -> None:
    """Every attack that is known of: what it costs, and what an honest caller notices of it."""
    from benchmarks.service.attacks.cases import attacks as run

    _tell("-".join(["attacks", *(only or ())]), asyncio.run(run(model, tuple(only or ()), rounds, seconds)))


@app.command()
def shutdown(model: Model = SHIPPED) -> None:
    """SIGTERM with everything half open that a caller can leave so: seconds until the process has ended."""
    from benchmarks.service.shutdown import shutdown as run

    _tell("shutdown", run(model))


@app.command()
def replicas(model: Model = SHIPPED, other: Annotated[Path, typer.Option(help="Another version.")] = NESTED) -> None:
    """Three servers behind HAProxy and 1,000 edges: scale-out, rolling update, kill -9, a canary; nothing is lost."""
    from benchmarks.service.replicas import replicas as run

    _tell("replicas", asyncio.run(run(model, other)))


@app.command()
def nodes(model: Model = SHIPPED) -> None:
    """Ray Serve on two nodes in network namespaces: scale-out, streams that move, a node that dies. Root and Ray."""
    from benchmarks.service.nodes import nodes as run

    _tell("nodes", run(model))


@app.command()
def siege(
    model: Model = SHIPPED,
    minutes: Annotated[float, typer.Option(min=0.1)] = 60,
    attack_s: Annotated[float, typer.Option(min=0.5, help="Seconds of an attack, before the next one.")] = 20,
    seed: int = 0,
) -> None:
    """Honest streams beside all attacks in turn: memory flat, no answer late, wrong or lost."""
    from benchmarks.service.attacks.siege import siege as run

    _tell("siege", asyncio.run(run(model, minutes, attack_s, seed)))


def _tell(name: str, found: tuple[dict[str, Any], list[Bar]]) -> None:
    sys.exit(write_results("service", name, *found))


if __name__ == "__main__":
    run_command(app)
