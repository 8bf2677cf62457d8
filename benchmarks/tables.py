"""python -m benchmarks.tables: the figures in the READMEs, made anew from committed files.

They stand between `<!-- figures: KEY -->` and `<!-- end -->`. KEY is one of an area's own tables
(`benchmarks.AREA.markdown.TABLES`), or "AREA NAME", any result as it is.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.command import run as run_command
from benchmarks.markdown import plain_table
from benchmarks.results import FOLDER, ROOT, read_results
from wire.exceptions import ArtoveqError

AREAS = ("accuracy", "clients", "edge", "link", "service")
BEGINS = re.compile(r"<!-- figures: (.*?) -->\n")
BLOCK = re.compile(
    r"(?P<begin><!-- figures: (?P<key>[^\n]*?) -->\n)(?P<body>(?:(?!<!-- figures: ).)*?)(?P<end><!-- end -->)", re.S
)

app = typer.Typer(add_completion=False)


class TableError(ArtoveqError):
    """The figures in a README are not those of the files."""


def pages() -> list[Path]:
    """Where figures stand."""
    return [ROOT / "README.md", *sorted(FOLDER.glob("*/README.md")), *sorted((ROOT / "docs").glob("*.md"))]


def own_tables() -> dict[str, Callable[[], str]]:
    """All areas' tables by key."""
    found: dict[str, Callable[[], str]] = {}
    for area in AREAS:
        module = f"benchmarks.{area}.markdown"
        if importlib.util.find_spec(module):
            found |= importlib.import_module(module).TABLES
    return found


def rendered(key: str) -> str:
    """The Markdown of one table.

    Raises:
        TableError: if there is none of this name.
    """
    tables = own_tables()
    if key in tables:
        return tables[key]()
    area, _, name = key.partition(" ")
    if area not in AREAS or not name:
        raise TableError(f"There is no table {key!r}; write one of {', '.join(tables)}, or AREA NAME of a result.")
    result = read_results(area, name)
    return f"`python -m benchmarks.{area} {name}` was not run yet." if result is None else plain_table(result)


def filled(text: str, where: str) -> str:
    """A page with its tables made anew.

    Raises:
        TableError: if a table does not end, or does not exist.
    """
    if len(BEGINS.findall(text)) != len(BLOCK.findall(text)):
        raise TableError(f"A table in {where} has no end; write <!-- end --> in a line behind it.")
    return BLOCK.sub(lambda block: f"{block['begin']}\n{rendered(block['key'])}\n\n{block['end']}", text)


@app.command()
def tables(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail where figures differ.")] = False,
) -> None:
    """Make the tables in README.md and benchmarks/*/README.md anew from committed files."""
    for page in pages():
        where, text = str(page.relative_to(ROOT)), page.read_text()
        made = filled(text, where)
        if made == text:
            continue
        if check:
            raise TableError(f"The figures in {where} are not those of the files; run `python -m benchmarks.tables`.")
        page.write_text(made)
        print(where)


if __name__ == "__main__":
    run_command(app)
