"""What a package holds that was built from here: enough for a first hour, away from the repository."""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import readme_renderer.markdown

from artoveq.processes import ServerProcess
from docs.site import PICTURES as SUFFIXES
from docs.site import repository
from tests.conftest import MODEL, PICTURES, ROOT
from wire.manifest import TORCH_DECODER

OLDEST = "3.10"
pytestmark = pytest.mark.slow  # it builds the package, and starts processes


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of the wheel, which is built from the source package."""
    folder = tmp_path_factory.mktemp("wheel")
    build = ["uv", "build", "--quiet", "--out-dir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, timeout=300)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def test_an_edge_runs_on_the_oldest_python(installed: Path, server: ServerProcess, tmp_path: Path) -> None:
    """In an environment of its own, without extras, away from the repository."""
    if subprocess.run(["uv", "python", "find", "--quiet", OLDEST], check=False).returncode:
        pytest.skip(f"wants Python {OLDEST}")
    (wheel,) = installed.parent.glob("*.whl")
    alone = ["uv", "run", "--quiet", "--isolated", "--no-project", "--python", OLDEST, "--with", str(wheel)]

    def artoveq(*words: str) -> str:
        done = subprocess.run(
            [*alone, "artoveq", *words], cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    picture = str(PICTURES / "dingo.png")
    assert "dingo" in artoveq("classify", picture, "--server", server.address, "--budget", "5s")
    (tmp_path / "artoveq.toml").write_text(f'[serve]\nport = 1\n[classify]\nserver = "{server.address}"\n')
    assert "dingo" in artoveq("--config", "artoveq.toml", "classify", picture, "--budget", "5s")


def test_the_demo_runs_from_what_was_installed(installed: Path) -> None:
    command = [sys.executable, "-m", "artoveq", "demo", "--length", "2s"]
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        command, cwd=installed.parent, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Summary" in done.stdout


def test_the_package_holds_the_demo_s_model_without_what_only_torch_reads(installed: Path) -> None:
    files = {path.name for path in (installed / "artoveq" / "demo" / "model").iterdir()}
    assert files == {path.name for path in MODEL.iterdir()} - {TORCH_DECODER}


def test_every_package_says_that_it_is_typed(installed: Path) -> None:
    for package in ("artoveq", "edge_client", "inference_server", "training", "wire"):
        assert (installed / package / "py.typed").is_file()


def test_the_readme_is_one_that_an_index_shows(installed: Path) -> None:
    """It renders, and nothing in it leads to a file that is not there."""
    (metadata,) = installed.glob("*.dist-info/METADATA")
    message = email.message_from_string(metadata.read_text())
    assert message["Description-Content-Type"] == "text/markdown"
    html = readme_renderer.markdown.render(message.get_payload())
    assert html is not None and "<img" in html and "<table>" in html
    links = re.findall(r'(?:href|src)="([^"]+)"', html)
    assert len(links) > 20 and all(link.startswith(("https://", "http://localhost", "#")) for link in links)
    web = repository()
    for kind, path in re.findall(rf"{re.escape(web)}/(blob|raw)/main/([^\"#]+)", html):
        assert (ROOT / path).is_file() and (kind == "raw") == (Path(path).suffix in SUFFIXES)
    urls = dict(url.split(", ") for url in message.get_all("Project-URL") or ())
    assert urls["Repository"] == web and len(urls) >= 4
