"""The command `artoveq`. Each function imports what it needs, so that the edge runs without torch."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from artoveq.logs import set_up
from wire.exceptions import ArtoveqError, PictureError

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich")
console, errors = Console(highlight=False), Console(stderr=True, highlight=False)

EXTRA_OF = {"torch": "train", "torchvision": "train", "onnx": "train", "cv2": "camera", "paho": "mqtt"}
DEMO_MODEL = Path(__file__).parent.parent / "models" / "imagewoof64-compact-progressive"


class Scenario(str, enum.Enum):
    """The paper's dynamic channels: all rates alike, low ones likelier, high ones likelier."""

    S1 = "S1"
    S2 = "S2"
    S3 = "S3"


Data = Annotated[str, typer.Option(help="A folder with one folder per class, or imagewoof:DIR or cifar100:DIR.")]
Tls = Annotated[bool, typer.Option("--tls", help="Encrypt; the server must speak TLS.")]
Authority = Annotated[Path | None, typer.Option(help="PEM file: whose certificates are trusted.")]
Certificate = Annotated[Path | None, typer.Option(help="PEM file: this edge's certificate (mutual TLS).")]
Key = Annotated[Path | None, typer.Option(help="PEM file: its private key.")]
Token = Annotated[
    str | None, typer.Option(envvar="ARTOVEQ_TOKEN", show_envvar=True, help="For a server that wants one.")
]
Runs = Annotated[Path, typer.Option(help="Where checkpoints are kept.")]
Models = Annotated[Path, typer.Option(help="The artifact is written into a folder of its name in here.")]


def main() -> None:
    """Runs the command; an expected error is one sentence on standard error and exit code 1."""
    try:
        set_up()
        app()
    except ArtoveqError as error:
        errors.print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(1)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        extra = EXTRA_OF.get(package, "server")
        errors.print(
            f"[red]error:[/] This command needs {package}; run `pip install 'artoveq\\[{extra}]'`.", soft_wrap=True
        )
        sys.exit(1)


def seconds(text: str) -> float:
    """ "50ms", "0.2s" or "0.2" to seconds."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|)\s*", text)
    value = float(found[1]) / (1000 if found[2] == "ms" else 1) if found else 0.0
    if value <= 0:
        raise typer.BadParameter(f"{text!r} is not a time; write 50ms or 0.2s.")
    return value


def level_number(text: str) -> int:
    """A level as a number; whether the model has it is checked against the model."""
    if not re.fullmatch(r"-?\d+", text.strip()):
        raise typer.BadParameter(f"{text!r} is not a level; write a number from 1 to 8.")
    return int(text)


Server = Annotated[str, typer.Option(help="HOST:PORT of the gRPC service.")]
Budget = Annotated[Any, typer.Option(parser=seconds, metavar="TIME", help="From picture to answer.")]
Level = Annotated[
    Any, typer.Option(parser=level_number, metavar="N", help="Bits per sub-vector; chosen by the budget if left out.")
]
Progressive = Annotated[bool, typer.Option("--progressive", help="Stream plane by plane, refine.")]
Webp = Annotated[bool, typer.Option("--webp", help="Send small files; the server runs the encoder, too.")]
Enough = Annotated[
    float, typer.Option(min=0, max=1, metavar="SHARE", help="With --progressive: stop once the answer is so sure.")
]
TopK = Annotated[int, typer.Option(min=1, help="How many classes to name.")]
Model = Annotated[Path | None, typer.Option(help="The artifact; fetched from the server if left out.")]


@app.command()
def classify(
    pictures: Annotated[list[str], typer.Argument(help="Picture files, folders of pictures, or - for standard input.")],
    server: Server = "localhost:50051",
    budget: Budget = "50ms",
    level: Level = None,
    progressive: Progressive = False,
    enough: Enough = 1.0,
    webp: Webp = False,
    top_k: TopK = 1,
    model: Model = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    tls: Tls = False,
    authority: Authority = None,
    certificate: Certificate = None,
    key: Key = None,
    token: Token = None,
) -> None:
    """Classify pictures on a server, within a latency budget."""
    from edge_client import Client, Security
    from wire.pictures import read_picture

    failed = 0
    security = Security(tls, authority, certificate, key, token)
    with Client(server, str(model) if model else None, security=security) as client:
        for name, source in _sources(pictures):
            try:
                picture = read_picture(source, name=name)
            except PictureError as error:  # the other pictures are still worth an answer
                failed += 1
                print(json.dumps({"picture": name, "error": str(error)}) if as_json else f"error: {error}", flush=True)
                continue
            result = client.predict(
                picture,
                budget=budget,
                level=level,
                progressive=progressive,
                enough=enough,
                webp=webp or None,
                top_k=top_k,
            )
            if as_json:
                print(json.dumps({"picture": name, **result.as_record()}), flush=True)
            else:
                _show(name, result)
    if failed:
        raise typer.Exit(1)


def _sources(names: Iterable[str]) -> Iterator[tuple[str, bytes | Path]]:
    from wire.pictures import PICTURE_SUFFIXES

    for name in names:
        path = Path(name)
        if name == "-":
            yield "-", sys.stdin.buffer.read()
        elif path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
            if not found:
                raise PictureError(f"The folder {path} has no pictures (JPEG, PNG, WebP …) in it.")
            yield from ((str(p), p) for p in found)
        else:
            yield name, path


def _show(name: str, result: Any) -> None:
    late = "" if result.deadline_met else " [red]late[/]"
    for p in result.predictions:
        classes = ", ".join(f"{c.name} {c.probability:.0%}" for c in p.classes)
        console.print(
            f"{escape(name)}: [bold]{escape(classes)}[/]  {p.planes} of {result.level} planes, "
            f"{p.after * 1000:.0f} ms{late if p is result.predictions[0] else ''}",
            soft_wrap=True,
        )


@app.command()
def watch(
    source: Annotated[
        str, typer.Argument(help="camera:0, an rtsp:// address, a video file, or a folder that fills up.")
    ],
    server: Server = "localhost:50051",
    budget: Budget = "200ms",
    level: Level = None,
    progressive: Progressive = False,
    enough: Enough = 1.0,
    webp: Webp = False,
    top_k: TopK = 1,
    model: Model = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines in place of text.")] = False,
    webhook: Annotated[str | None, typer.Option(metavar="URL", help="POST each result as JSON.")] = None,
    mqtt: Annotated[str | None, typer.Option(metavar="mqtt://HOST/TOPIC", help="Publish each result as JSON.")] = None,
    spool: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep pictures here while no server answers; answer them later.")
    ] = None,
    spool_pictures: Annotated[int, typer.Option(min=1, help="How many are kept; then the oldest are dropped.")] = 10000,
    report: Annotated[bool, typer.Option("--report", help="Show results on the server's page.")] = False,
    thumbnail: Annotated[bool, typer.Option("--thumbnail", help="Show frames there, too: 300 bytes each.")] = False,
    name: Annotated[str, typer.Option(help="What the page calls this edge.")] = "",
    tls: Tls = False,
    authority: Authority = None,
    certificate: Certificate = None,
    key: Key = None,
    token: Token = None,
) -> None:
    """Classify what a camera sees: the newest frame whenever the link is ready, never a stale one."""
    from artoveq.watch import sinks
    from artoveq.watch.frames import open_frames
    from artoveq.watch.loop import Options
    from artoveq.watch.loop import watch as run
    from edge_client import AsyncClient, Security, Spool

    frames, kept = open_frames(source), Spool(spool, spool_pictures) if spool else None
    to: list[sinks.Sink] = [sinks.JsonLines() if as_json else sinks.Terminal(lambda line: print(line, flush=True))]
    to += [sinks.Webhook(webhook)] if webhook else []
    to += [sinks.Mqtt(mqtt)] if mqtt else []
    options = Options(budget, level, progressive, enough, webp or None, top_k, report or thumbnail, thumbnail)

    security = Security(tls, authority, certificate, key, token)

    async def all_of_it() -> None:
        async with AsyncClient(server, str(model) if model else None, name=name, security=security) as client:
            await run(client, frames, to, options, kept)

    try:
        asyncio.run(all_of_it())
    except KeyboardInterrupt:
        pass
    finally:
        for part in (*to, *([kept] if kept else [])):
            part.close()


@app.command()
def serve(
    model: Annotated[Path, typer.Option(help="Folder of the artifact.")],
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of gRPC; 0 takes a free one.")] = None,
    http_port: Annotated[int | None, typer.Option(help="Port of REST; 0 takes a free one.")] = None,
) -> None:
    """Serve a model: gRPC for edges, REST for everyone. Further settings are environment variables ARTOVEQ_…"""
    from inference_server.server import serve as run
    from inference_server.settings import read_settings

    given = {"host": host, "port": port, "http_port": http_port}
    asyncio.run(run(read_settings(model=model, **{k: v for k, v in given.items() if v is not None})))


@app.command()
def top(
    page: Annotated[str, typer.Argument(help="Address of the server's page.")] = "http://localhost:8080",
    authority: Authority = None,
    token: Token = None,
    once: Annotated[bool, typer.Option("--once", help="Print once, and end.")] = False,
) -> None:
    """Watch a server's edges in a terminal: levels, capacities, deadlines, what waits."""
    from artoveq.top import top as run

    with contextlib.suppress(KeyboardInterrupt):
        run(page, token, authority, once=once)


@app.command()
def train(
    data: Data,
    recipe: Annotated[Path | None, typer.Argument(help="A recipe; one is picked for the pictures if left out.")] = None,
    weights: Annotated[Path | None, typer.Option(help="ImageNet weights; fetched by torchvision if left out.")] = None,
    runs: Runs = Path("runs"),
    models: Models = Path("models"),
) -> None:
    """Train, or go on where it stopped; then export the artifact, and measure what it delivers at every level."""
    import torch

    from training.data import load_split
    from training.export import check_exportable
    from training.loop import train as run
    from training.recipe import read_recipe

    file, wanted = str(weights) if weights else None, read_recipe(recipe) if recipe else None
    if wanted:
        check_exportable(wanted)
    split = load_split(data, "train")
    wanted = wanted or _picked(split, data, file)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    run(wanted, split, runs, weights_file=file, device=device)
    _export(wanted, data, runs, models)


def _picked(split: Any, data: str, weights: str | None) -> Any:
    from training.automatic import recipe_for
    from training.network import pretrained_weights
    from wire.exceptions import TrainingError

    pretrained = True
    try:
        pretrained_weights(weights)
    except TrainingError as error:
        if weights is not None:
            raise
        errors.print(f"[yellow]warning:[/] {escape(str(error))} Training starts from nothing.", soft_wrap=True)
        pretrained = False
    folder = Path(data.rpartition(":")[2]).resolve()
    wanted = recipe_for(split, folder.name, pretrained=pretrained)
    errors.print(
        f"{len(split)} pictures of {len(split.classes)} classes to train on, at {wanted.picture}×{wanted.picture}; "
        f"{wanted.stage1.epochs} and {wanted.stage3.epochs} epochs."
    )
    return wanted


@app.command()
def export(
    recipe: Annotated[Path, typer.Argument(help="The recipe that was trained.")],
    data: Data,
    runs: Runs = Path("runs"),
    models: Models = Path("models"),
) -> None:
    """Export a trained recipe as an artifact, with its figures measured on the test pictures."""
    from training.recipe import read_recipe

    _export(read_recipe(recipe), data, runs, models)


def _export(wanted: Any, data: str, runs: Path, models: Path) -> None:
    from artoveq.evaluation import write_evaluated
    from training.data import load_split
    from training.loop import trained_model

    split, test = load_split(data, "train"), load_split(data, "test")
    model, minutes = trained_model(wanted, len(split.classes), runs)
    artifact = write_evaluated(model, wanted, minutes, split, test, models / wanted.name)
    table = Table("level", "bytes a picture", "top-1", title=f"{artifact.folder}, on {len(test)} test pictures")
    for row in artifact.manifest.levels:
        table.add_row(str(row.level), f"{row.payload_bytes:.0f}", f"{row.top1:.1%}")
    table.add_row("–", "unquantised", f"{artifact.manifest.unquantised_top1:.1%}")
    console.print(table)
    console.print(f"Serve it with: artoveq serve --model {artifact.folder}", soft_wrap=True)


@app.command()
def evaluate(
    artifacts: Annotated[
        list[Path] | None,
        typer.Argument(help="Folder of the artifact; with --scenario several, or all in models/ if left out."),
    ] = None,
    data: Annotated[str | None, typer.Option(help="As for train; measures anew.")] = None,
    through_server: Annotated[bool, typer.Option("--through-server", help="Stream to a real server.")] = False,
    scenario: Annotated[
        list[Scenario] | None,
        typer.Option(help="What the artifact's committed figures deliver where the rate changes: S1, S2 or S3."),
    ] = None,
) -> None:
    """Measure an artifact on the test pictures: accuracy, likelihood, calibration and bytes per level, as JSON."""
    from wire.artifact import load_artifact

    if scenario:
        from artoveq.scenarios import delivered

        folders = artifacts or sorted(p.parent for p in Path("models").glob("*/manifest.json"))
        if not folders:
            raise typer.BadParameter("There is no artifact in models/; name the folders of some.")
        for manifest in (load_artifact(folder).manifest for folder in folders):
            top1 = {row.level: row.top1 for row in manifest.levels}
            row = {s.value: round(delivered(top1, s.value), 6) for s in scenario}
            print(
                json.dumps({"artifact": manifest.name, "profile": manifest.profile, "family": manifest.family, **row})
            )
        return
    if data is None or artifacts is None or len(artifacts) != 1:
        raise typer.BadParameter("Give one artifact and --data, or artifacts and --scenario.")
    from artoveq import evaluation
    from training.data import load_split

    loaded, split = load_artifact(artifacts[0]), load_split(data, "test")
    measure = evaluation.evaluate_through_server if through_server else evaluation.evaluate
    report = {"artifact": loaded.manifest.name, "pictures": len(split), "levels": measure(loaded, split)}
    print(json.dumps(report, indent=1))


@app.command()
def demo(
    model: Annotated[Path, typer.Option(help="Folder of the artifact.")] = DEMO_MODEL,
    trace: Annotated[Path | None, typer.Option(help="CSV of seconds,kilobits per second.")] = None,
    budget: Budget = "150ms",
    length: Annotated[Any, typer.Option("--length", parser=seconds, metavar="TIME")] = "24s",
) -> None:
    """Watch an edge and a server talk over a link that keeps changing."""
    from artoveq.demo.show import run_demo

    run_demo(model, trace, budget, length)
