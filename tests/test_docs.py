"""What docs/ says is so: `sh` and `python` blocks run, `console` lines name commands and options that exist."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer

from artoveq.cli import app
from artoveq.processes import ServerProcess
from docs.diagrams.drawings import ALL
from docs.site import absolute, dead_links, repository
from inference_server.settings import Settings
from tests.conftest import ROOT
from tests.test_readme import run, run_python

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def blocks(kind: str, pages: list[Path] = PAGES) -> list[str]:
    return [block for page in pages for block in re.findall(rf"```{kind}\n(.*?)```", page.read_text(), re.S)]


def lines(kind: str, pages: list[Path] = PAGES) -> list[str]:
    return [line for block in blocks(kind, pages) for line in block.splitlines() if line.strip()]


@pytest.mark.slow
@pytest.mark.parametrize("line", lines("sh", PAGES[1:]))
def test_lines_run(line: str, server: ServerProcess) -> None:
    assert run(line, server)


@pytest.mark.slow
@pytest.mark.parametrize("block", blocks("python", PAGES[1:]))
def test_python_runs(block: str, server: ServerProcess) -> None:
    assert run_python(block, server).split()[0] == "dingo"


@pytest.mark.parametrize("line", [x for x in lines("console") if re.match(r"(\w+=\S* )*(\S*/)?artoveq ", x)])
def test_commands_and_their_options_exist(line: str) -> None:
    name, *arguments = shlex.split(line[line.index("artoveq ") :])[1:]
    known = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert {a for a in arguments if a.startswith("--")} <= known
    for argument in arguments:
        if argument.startswith(("models/imagewoof", "training/", "artoveq/")):
            assert (ROOT / argument).exists()


def test_files_that_are_named_are_there() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} names {target}"


def test_the_settings_are_all_described() -> None:
    rows = dict(re.findall(r"\| `ARTOVEQ_(\w+)` \| (\S*) ?\|", (ROOT / "docs" / "settings.md").read_text()))
    fields = Settings.model_fields
    of_every_command = {"SERVER", "TOKEN", "CONFIG", "CACHE", "CACHE_BYTES", "LOG", "LOG_LEVEL"}
    assert set(rows) == {name.upper() for name in fields} | of_every_command
    for name, field in fields.items():
        if not field.is_required() and field.default not in (None, ()):
            default = rows[name.upper()]
            assert default == field.default if isinstance(field.default, str) else float(default) == field.default


def test_own_pictures_are_three_commands() -> None:
    """tests/artoveq/test_own_pictures.py runs them."""
    assert "artoveq train --data shapes\nartoveq serve --model models/shapes\nartoveq classify new --json\n" in blocks(
        "console", [ROOT / "docs" / "train.md"]
    )


@pytest.mark.parametrize("unit", ["watch", "serve"])
def test_the_unit_files_are_some(unit: str) -> None:
    text = (ROOT / "docs" / f"artoveq-{unit}.service").read_text()
    (command,) = re.findall(r"^ExecStart=\S+ (\w+)(.*)$", text, re.M)
    known = {option for parameter in COMMANDS[command[0]].params for option in parameter.opts}
    options = " ".join(re.findall(r'ARTOVEQ_OPTIONS=([^"]*)"', text))
    assert {a for a in shlex.split(command[1] + " " + options) if a.startswith("--")} <= known
    limits = dict(re.findall(r"^(TimeoutStopSec|MemoryMax|TasksMax|NoNewPrivileges)=(\w+)$", text, re.M))
    assert len(limits) == 4 and int(limits["TimeoutStopSec"]) > 5


def test_the_diagrams_are_those_that_the_command_draws() -> None:
    drawn = {f"{drawing.__name__.replace('_', '-')}.svg": drawing().svg() for drawing in ALL}
    assert drawn == {path.name: path.read_text() for path in (ROOT / "docs" / "diagrams").glob("*.svg")}
    shown = "".join(page.read_text() for page in PAGES)
    assert all(f"diagrams/{name})" in shown for name in drawn)


def test_links_of_pages_elsewhere_lead_into_the_repository() -> None:
    text = 'See [a](run.md#the-demo), [b](../LICENSE), <img src="page.webp">, [c](#here), [d](https://example.org).'
    web = repository()
    assert absolute(text, ROOT / "docs", keep=frozenset({ROOT / "docs" / "run.md"})) == (
        f'See [a](run.md#the-demo), [b]({web}/blob/main/LICENSE), <img src="{web}/raw/main/docs/page.webp">, '
        "[c](#here), [d](https://example.org)."
    )


def test_a_link_of_the_site_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text('<a href="b.html#here"></a><a href="b.html#gone"></a><img src="c.png">')
    (tmp_path / "b.html").write_text('<h2 id="here"></h2><a href="index.html"></a>')
    assert dead_links(tmp_path) == ["index.html leads to b.html#gone", "index.html leads to c.png"]


@pytest.mark.slow
def test_the_site_is_built_without_a_warning() -> None:
    done = subprocess.run([ROOT / "scripts" / "docs"], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    reference = (ROOT / "build" / "site" / "docs" / "reference.html").read_text()
    assert all(f'id="artoveq.{name}"' in reference for name in ("Client", "AsyncClient", "Result", "OneShot"))


def test_the_page_pictures_are_there() -> None:
    for name in ("phone", "desk-light", "desk-dark"):
        assert (ROOT / "docs" / f"page-{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_licences_are_those_of_what_is_pinned() -> None:
    """`scripts/sbom` makes the table anew. What is pinned for other platforms is not in it."""

    def canonical(name: str) -> str:
        return re.sub(r"[-_.]+", "-", name).lower()

    rows = re.findall(r"^\| (\S+) \| (\S+) \| .+ \| ([\w, ]+) \|$", (ROOT / "docs" / "licences.md").read_text(), re.M)
    for image in ("edge", "server"):
        listed = {(canonical(name), version) for name, version, images in rows if image in images.split(", ")}
        pins = re.findall(r"^([\w.-]+)==(\S+)( ;)?", (ROOT / "docker" / f"requirements-{image}.txt").read_text(), re.M)
        assert listed <= {(canonical(name), version) for name, version, _ in pins}
        assert {(canonical(name), version) for name, version, elsewhere in pins if not elsewhere} <= listed


@pytest.mark.parametrize("image", ["edge", "server", "server-gpu", "web"])
def test_every_pin_has_its_hashes_and_the_images_want_them(image: str) -> None:
    text = (ROOT / "docker" / f"requirements-{image}.txt").read_text()
    pins = re.split(r"^(?=[\w.-]+==)", text, flags=re.M)
    assert len(pins) > (2 if image == "web" else 20) and "://" not in text
    assert all("--hash=sha256:" in pin for pin in pins if pin)
    dockerfile = (ROOT / "docker" / f"{'edge' if image == 'edge' else 'server'}.Dockerfile").read_text()
    assert dockerfile.count("--require-hashes") == len(re.findall("pip install", dockerfile))
