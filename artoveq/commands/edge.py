"""classify and watch: what an edge does."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from artoveq.commands import options as of
from artoveq.commands.options import console, errors
from wire.exceptions import ArtoveqError, PictureError, ServerError, ServerUnavailable
from wire.shown import shown

if TYPE_CHECKING:
    from edge_client import Client, Spool


@of.grouped
def classify(
    pictures: Annotated[
        list[str] | None, typer.Argument(help="JPEG, PNG or WebP files, folders of them, or - for standard input.")
    ] = None,
    *,
    service: of.Service,
    budget: of.Budget = "50ms",
    payload: of.LabelPayload,
    top_k: of.TopK = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    spooling: of.Spooling,
    credentials: of.Credentials,
) -> None:
    """Classify pictures on a server, within a latency budget; with --spool also those that wait there."""
    from edge_client import OneShot
    from wire.exceptions import UsageError
    from wire.pictures import read_picture
    from wire.tasks import RECONSTRUCTION

    if not pictures and spooling.spool is None:
        raise UsageError("Name pictures, or with --spool the file in which some wait.")
    failed, dark = 0, None
    with contextlib.ExitStack() as stack:
        waiting = spooling.open()
        if waiting is not None:
            stack.callback(waiting.close)
        offline = waiting is not None or payload.point == 0  # the edge's own answer needs no server
        client = stack.enter_context(service.client(credentials, offline=offline, policy=payload.policy()))
        if client.encoder.manifest.task.name == RECONSTRUCTION:
            raise UsageError(f"{client.encoder.manifest.name} names no classes; use `artoveq reconstruct`.")
        mode = payload.mode(client.encoder.manifest)
        for name, source in sources(pictures or ()):
            try:
                picture = read_picture(source, name=name)
            except PictureError as error:  # the other pictures are still worth an answer
                failed += 1
                _tell({"picture": name, "error": str(error)}, f"error: {error}", as_json)
                continue
            try:
                if dark is not None:  # nobody is asked again for each picture
                    raise dark
                if payload.max_bytes is not None and isinstance(mode, OneShot):
                    mode = OneShot(point=client.encoder.point_within(picture, payload.max_bytes))
                result = client.predict(picture, mode, budget=budget, top_k=top_k)
                if result.error is not None and waiting is not None:
                    raise result.error
            except ServerError as error:
                if waiting is None:
                    raise
                dark = error if isinstance(error, ServerUnavailable) else None
                gone = client.keep(waiting, picture, {"picture": name})
                local = {}
                if client.encoder.manifest.local_head is not None:
                    result = client.predict(picture, OneShot(point=0), budget=budget, top_k=top_k)
                    local = result.as_record()
                    if not as_json:
                        _show(name, result)
                kept = {"picture": name, **local, "kept": True, "reason": str(error)}
                _tell(kept, f"{name}: kept for later: {error}", as_json)
                for old in gone:
                    failed += 1
                    full = "The spool was full before a server answered."
                    _tell({**old.context, "error": full}, f"{_name_of(old.context)}: {full}", as_json)
                continue
            if as_json:
                print(json.dumps({"picture": name, **result.as_record()}), flush=True)
            else:
                _show(name, result)
        if waiting is not None and dark is None:
            failed += _deliver(client, waiting, top_k, as_json)
        if waiting is not None and len(waiting):
            print(f"{len(waiting)} pictures wait in {spooling.spool}; classify with --spool again.", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


def _deliver(client: Client, waiting: Spool, top_k: int, as_json: bool) -> int:
    """Answers what waits, as far as a server does; how many will never be answered."""
    from edge_client.waiting import is_waited_for

    failed = 0
    while (kept := waiting.newest()) is not None:
        name = _name_of(kept.context)
        try:
            answer = client.deliver(kept, top_k=top_k)
        except ArtoveqError as error:
            if is_waited_for(error, kept, client.encoder.manifest.fingerprint, 1):
                print(shown(str(error)), file=sys.stderr)
                break
            failed += 1
            _tell({**kept.context, "error": str(error)}, f"{name}: {error}", as_json)
            waiting.set_aside(kept, str(error))
            continue
        record = {**kept.context, "delivered": True, "point": kept.point, **answer.as_record()}
        _tell(record, f"{name}: {answer.text}  delivered now", as_json)
        waiting.forget(kept)
    return failed


def _name_of(context: dict[str, Any]) -> str:
    """Of a picture in a spool, which `watch` may have put there."""
    return str(context.get("picture") or context.get("source") or "a picture")


def _tell(record: dict[str, Any], line: str, as_json: bool) -> None:
    print(json.dumps(record) if as_json else shown(line), flush=True)


def sources(names: Iterable[str]) -> Iterator[tuple[str, bytes | Path]]:
    """Each picture that the arguments name, with its name."""
    from wire.pictures import FORMATS, pictures_in

    for name in names:
        path = Path(name)
        if name == "-":
            yield "-", sys.stdin.buffer.read()
        elif path.is_dir():
            found = pictures_in(path)
            if not found:
                raise PictureError(f"The folder {path} has no pictures in it; these are read: {FORMATS}.")
            yield from ((str(p), p) for p in found)
        else:
            yield name, path


def _show(name: str, result: Any) -> None:
    late, name = "" if result.deadline_met else " [red]late[/]", escape(shown(name))
    for answer in result.answers:
        where = "on the edge" if answer.local else f"point {answer.point}"
        console.print(
            f"{name}: [bold]{escape(answer.text)}[/]  {answer.payload_bytes} bytes, {where}, "
            f"{answer.after * 1000:.0f} ms{late if answer is result.answers[0] else ''}",
            soft_wrap=True,
        )
    if result.error is not None:
        errors.print(f"[yellow]warning:[/] {escape(shown(str(result.error)))}", soft_wrap=True)


@of.grouped
def watch(
    source: Annotated[
        str,
        typer.Argument(
            envvar="ARTOVEQ_SOURCE", help="camera:0, an rtsp:// address, a video file, or folder:DIR that fills up."
        ),
    ],
    *,
    service: of.Service,
    budget: of.Budget = "200ms",
    payload: of.LabelPayload,
    top_k: of.TopK = 1,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines in place of text.")] = False,
    webhook: Annotated[str | None, typer.Option(metavar="URL", help="POST each result as JSON.")] = None,
    mqtt: Annotated[str | None, typer.Option(metavar="mqtt://HOST/TOPIC", help="Publish each result as JSON.")] = None,
    existing: Annotated[bool, typer.Option("--existing", help="Of a folder also what is in it at the start.")] = False,
    spooling: of.Spooling,
    report: Annotated[bool, typer.Option("--report", help="Show results on the server's page.")] = False,
    thumbnail: Annotated[bool, typer.Option("--thumbnail", help="Show frames there, too: 300 bytes each.")] = False,
    name: Annotated[str, typer.Option(help="What the page calls this edge.")] = "",
    credentials: of.Credentials,
) -> None:
    """Classify what a camera sees, the newest frame whenever the link is ready; or every picture that a folder gets."""
    from artoveq.processes import run_until_stopped
    from artoveq.watch import sinks
    from artoveq.watch.frames import open_frames
    from artoveq.watch.loop import Options
    from artoveq.watch.loop import watch as run
    from artoveq.watch.mqtt import Mqtt
    from artoveq.watch.summary import Summary
    from artoveq.watch.webhook import Webhook

    kept = spooling.open()
    frames = open_frames(source, existing=existing, spool=kept)  # before anybody is asked: what comes now counts
    to: list[sinks.Sink] = [
        sinks.JsonLines() if as_json else sinks.Terminal(lambda line: print(shown(line), flush=True))
    ]
    to += [Webhook(webhook)] if webhook else []
    to += [Mqtt(mqtt, offline=kept is not None)] if mqtt else []
    to.append(Summary())
    offline = kept is not None or payload.point == 0
    client = service.async_client(credentials, name, offline=offline, policy=payload.policy())

    async def all_of_it() -> None:
        async with client:
            payload.mode(client.encoder.manifest)  # what the model lacks is said at the start
            await run(client, frames, to, Options(payload.mode, budget, top_k, report or thumbnail, thumbnail), kept)

    try:
        run_until_stopped(all_of_it())
    finally:
        for sink in to:
            sink.close()
        if kept is not None:
            kept.close()
