"""ask: questions about a picture, answered over the link."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from artoveq.commands import options as of
from artoveq.commands.options import console
from wire.shown import shown

if TYPE_CHECKING:
    from edge_client import Answer


class Shown:
    """Prints answers in lines; what is still being said, as it comes."""

    def __init__(self) -> None:
        self._said = ""

    def __call__(self, answer: Answer) -> None:
        """The next answer, or the next part of one."""
        text = answer.reply.text if answer.partial or self._said else answer.text
        if not text.startswith(self._said):  # of a newer state of the picture
            console.print()
            self._said = ""
        console.print(f"[bold]{escape(text[len(self._said) :])}[/]", end="", soft_wrap=True)
        if answer.partial:
            self._said = text
            return
        sure = f" {answer.confidence:.0%}" if self._said else ""
        self._said = ""
        bytes_and_point = f"{answer.payload_bytes} bytes, point {answer.point}"
        console.print(f"[bold]{sure}[/]  {bytes_and_point}, {answer.after * 1000:.0f} ms", soft_wrap=True)


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
    from wire.pictures import read_picture
    from wire.questions import check_question

    for question in questions:
        check_question(question)
    read = read_picture(sys.stdin.buffer.read() if picture == "-" else picture, name=picture)

    show = (lambda answer: None) if as_json else Shown()

    with service.client(credentials) as client:
        mode = payload.mode(client.encoder.manifest)
        for question in questions:
            if not as_json and len(questions) > 1:
                console.print(escape(shown(question)), soft_wrap=True)
            result = client.ask(read, question, mode, budget, top_k, show)
            if as_json:
                print(json.dumps({"picture": picture, "question": question, **result.as_record()}), flush=True)
