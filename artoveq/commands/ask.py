"""ask: questions about a picture, answered over the link."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer
from rich.markup import escape

from artoveq.commands import options as of
from artoveq.commands.options import console
from wire.shown import shown


@of.grouped
def ask(
    picture: Annotated[str, typer.Argument(help="A JPEG, PNG or WebP file, or - for standard input.")],
    questions: Annotated[list[str], typer.Argument(help="One or several; the picture is sent with the first alone.")],
    *,
    service: of.Service,
    budget: of.Budget = "50ms",
    payload: of.Payload,
    top_k: of.TopK = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    credentials: of.Credentials,
) -> None:
    """Ask a server questions about a picture, within a latency budget; the answers come as they are ready."""
    from edge_client import Answer
    from wire.pictures import read_picture
    from wire.questions import check_question

    for question in questions:
        check_question(question)
    read = read_picture(sys.stdin.buffer.read() if picture == "-" else picture, name=picture)

    def show(answer: Answer) -> None:
        if not as_json:
            console.print(
                f"[bold]{escape(answer.text)}[/]  {answer.payload_bytes} bytes, point {answer.point}, "
                f"{answer.after * 1000:.0f} ms",
                soft_wrap=True,
            )

    with service.client(credentials) as client:
        mode = payload.mode(client.encoder.manifest)
        for question in questions:
            if not as_json and len(questions) > 1:
                console.print(escape(shown(question)), soft_wrap=True)
            result = client.ask(read, question, mode, budget, top_k, show)
            if as_json:
                print(json.dumps({"picture": picture, "question": question, **result.as_record()}), flush=True)
