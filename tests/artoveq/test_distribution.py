"""push, pull and --model oci://… as a user runs them, with Debian's registry; and what a card says."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from artoveq.processes import server_process
from tests import tiny
from tests.conftest import MODEL, NESTED, PICTURES, ROOT
from tests.wire.distribution.registries import PASSWORD, USER, debians
from wire.artifact import load_artifact
from wire.cache import cache_folder
from wire.distribution import model_folder

pytestmark = [pytest.mark.registry, pytest.mark.slow]  # it starts processes


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTOVEQ_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    with debians(tmp_path / "registry") as running:
        yield running


def artoveq(*arguments: str) -> tuple[int, str]:
    """The exit code, and all that was said."""
    command = [sys.executable, "-m", "artoveq", *arguments]
    done = subprocess.run(command, capture_output=True, timeout=120, cwd=ROOT, check=False)
    return done.returncode, " ".join((done.stdout + done.stderr).decode().split())


def test_a_model_goes_through_a_registry_and_the_tag_may_move(host: str, tmp_path: Path) -> None:
    address, folder = f"oci://{host}/farm/dogs", tmp_path / "dogs"
    code, said = artoveq("push", str(MODEL), f"{address}:v1")
    assert code == 0 and said.startswith(f"{address}:v1 is {address}@sha256:")
    first = said.rpartition(" ")[2]
    assert artoveq("push", str(MODEL), f"{address}:again")[1].endswith(first)  # the same bytes have the same name
    code, said = artoveq("pull", f"{address}:v1", str(folder))
    assert code == 0 and said == f"{folder} is {first}"
    files = {path.name for path in MODEL.iterdir()} | {"README.md"}
    assert {path.name for path in folder.iterdir()} == files
    assert (folder / "README.md").read_text().startswith("---\n")
    assert load_artifact(folder).manifest == load_artifact(MODEL).manifest

    assert artoveq("push", str(NESTED), f"{address}:v1")[0] == 0
    assert load_artifact(model_folder(first)).manifest == load_artifact(MODEL).manifest
    assert artoveq("pull", f"{address}:v1", str(folder))[0] == 0
    assert load_artifact(folder).manifest == load_artifact(NESTED).manifest
    code, said = artoveq("pull", f"{address}:v9", str(folder))
    assert code == 1 and said == f"error: {host} has no {address}:v9; `artoveq push` brings a model there."
    code, said = artoveq("push", str(MODEL), first)
    assert code == 1 and "A model is pushed to a tag" in said


def test_servers_and_edges_take_addresses(host: str) -> None:
    address = f"oci://{host}/dogs:v1"
    assert artoveq("push", str(MODEL), address)[0] == 0
    with server_process(Path(address)) as server:
        asked = ["classify", str(PICTURES / "dingo.png"), "--server", server.address, "--budget", "5s", "--json"]
        code, said = artoveq(*asked, "--model", address)
    assert code == 0 and '"class": "dingo"' in said
    (kept,) = (cache_folder() / "oci").glob("[0-9a-f]*")
    assert load_artifact(kept).manifest == load_artifact(MODEL).manifest


def test_a_registry_that_wants_a_password(tmp_path: Path) -> None:
    artifact, login = tiny.progressive(tmp_path / "model"), tmp_path / ".docker" / "config.json"
    login.parent.mkdir()
    with debians(tmp_path / "registry", password=True) as host:
        address = f"oci://{host}/dogs:v1"
        for password in ("", f"{PASSWORD}?", PASSWORD):
            if password:
                known = base64.b64encode(f"{USER}:{password}".encode()).decode()
                login.write_text(json.dumps({"auths": {host: {"auth": known}}}))
            code, said = artoveq("push", str(artifact.folder), address)
            assert PASSWORD not in said
            if password == PASSWORD:
                assert code == 0
            else:
                assert code == 1 and f"wants a user who may do that with dogs; say `docker login {host}`" in said
        assert load_artifact(model_folder(address)).manifest == artifact.manifest
        login.unlink()
        code, said = artoveq("pull", f"oci://{host}/dogs:v1", str(tmp_path / "dogs"))
        assert code == 1 and "wants a user" in said and not (tmp_path / "dogs").exists()
