"""models: which versions a running server has, and which of them edges get."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from artoveq.commands import options as of
from wire.exceptions import UsageError

LOAD_S = 600.0
"""How long a server may take to load a model."""


class Action(str, Enum):
    """What is done."""

    LIST = "list"
    ADD = "add"
    REMOVE = "remove"
    PROMOTE = "promote"
    ROLLBACK = "rollback"


def models(
    action: Annotated[
        Action,
        typer.Argument(help="list; add FOLDER; remove or promote FINGERPRINT, its beginning is enough; rollback NAME."),
    ] = Action.LIST,
    what: Annotated[str, typer.Argument(metavar="[FOLDER|FINGERPRINT|NAME]")] = "",
    share: Annotated[float, typer.Option(help="Of the edges that get a promoted version: always the same ones.")] = 1.0,
    page: Annotated[str, typer.Option(help="Address of the server's page.")] = "http://localhost:8080",
    ca_file: of.CaFile = None,
    token: of.Token = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Change the models of a running server, which wants an admin's token for all but `list`."""
    if (action is Action.LIST) == bool(what):
        raise UsageError("list takes nothing more; add a FOLDER, remove or promote a FINGERPRINT, rollback a NAME.")

    def ask(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        from artoveq.pages import asked

        with asked(page, path, token, ca_file, method=method, body=body, timeout=LOAD_S) as answer:
            return json.loads(answer.read() or b"null")

    def fingerprint() -> str:
        found = [one["fingerprint"] for one in ask("GET", "/v1/models") if one["fingerprint"].startswith(what)]
        if len(found) != 1:
            raise UsageError(f"{len(found)} models of {page} have a fingerprint that begins with {what!r}; give one's.")
        return str(found[0])

    if action is Action.ADD:
        ask("POST", "/v1/models", {"folder": str(Path(what).absolute())})
    elif action is Action.REMOVE:
        ask("POST", "/v1/removals", {"fingerprint": fingerprint()})
    elif action is Action.PROMOTE:
        ask("POST", "/v1/promotions", {"fingerprint": fingerprint(), "share": share})
    elif action is Action.ROLLBACK:
        ask("POST", "/v1/rollbacks", {"name": what})
    served = ask("GET", "/v1/models")
    of.console.print_json(json.dumps(served)) if as_json else of.console.print(_table(served))


def _table(served: list[dict[str, Any]]) -> Table:
    table = Table("name", "fingerprint", "edges", "streams", "pictures", box=None, pad_edge=False)
    table.columns[1].no_wrap = True
    for one in served:
        share = f"{one['share']:.0%}" + (" current" if one["current"] else "")
        numbers = f"{one['streams']:,}", f"{one['pictures']:,}"
        table.add_row(one["name"], one["fingerprint"][:12], share, *numbers)
    return table
