"""A models folder that changes while a server runs and edges ask: copied slowly, moved, replaced, broken, removed."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

import edge_client.client
from edge_client import AsyncClient, Client, OneShot
from inference_server import folder_watch
from inference_server.deployment import Deployment
from inference_server.settings import read_settings
from tests import tiny
from tests.inference_server.serving import Running, serving
from wire.artifact import Artifact
from wire.exceptions import ModelMismatch, SettingsError

RED = tiny.picture("red")
SETTLED_S, LEFT_S = 0.3, 4.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "models"
    path.mkdir()
    return path


@pytest.fixture
def watched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A server of a folder that is empty at first."""
    monkeypatch.setattr(folder_watch, "SETTLED_S", SETTLED_S)
    monkeypatch.setattr(folder_watch, "LEFT_S", LEFT_S)
    monkeypatch.setattr("inference_server.server.READ_AGAIN_S", 0.05)
    with serving(models=folder, drain_seconds=20) as running:
        yield running


@pytest.fixture
def made(tmp_path: Path) -> list[Artifact]:
    """Two versions of a model."""
    return [tiny.progressive(tmp_path / str(n) / "dogs", coded=bool(n)) for n in range(2)]


def served(running: Running) -> dict[str, bool]:
    """Fingerprints; whether edges get them."""
    return {one["fingerprint"]: one["current"] for one in httpx2.get(f"{running.url}/v1/models").json()}


def until(running: Running, expected: dict[str, bool]) -> None:
    deadline = time.monotonic() + 20
    while served(running) != expected:
        assert time.monotonic() < deadline, served(running)
        time.sleep(0.05)


@pytest.mark.slow
def test_what_is_copied_slowly_is_served_once_it_is_whole(
    watched: Running, folder: Path, made: list[Artifact], caplog: pytest.LogCaptureFixture
) -> None:
    source, target = made[0].folder, folder / "dogs"
    assert httpx2.get(f"{watched.url}/v1/model").status_code == 404
    target.mkdir()
    for name in ("manifest.json", *made[0].manifest.files):
        data = (source / name).read_bytes()
        for part in range(4):
            assert served(watched) == {}
            with (target / name).open("ab") as file:
                file.write(data[len(data) * part // 4 : len(data) * (part + 1) // 4])
            time.sleep(0.05)
    until(watched, {made[0].manifest.fingerprint: True})
    assert not [one for one in caplog.records if "is not served" in one.getMessage()]


@pytest.mark.slow
def test_what_is_bad_is_named_once_and_what_was_served_stays(
    watched: Running, folder: Path, made: list[Artifact], caplog: pytest.LogCaptureFixture
) -> None:
    first = made[0].manifest.fingerprint
    shutil.copytree(made[0].folder, folder / "a")
    until(watched, {first: True})
    shutil.copytree(made[0].folder, folder / "the-same")
    shutil.copytree(made[1].folder, folder / "bad")
    (folder / "bad" / "decoder.onnx").write_bytes(b"no graph")
    (folder / "a" / "manifest.json").write_text("{}")
    (folder / "no-model").mkdir()
    (folder / "file").touch()
    time.sleep(LEFT_S + 3)
    said = sorted(one.getMessage() for one in caplog.records if "is not served" in one.getMessage())
    assert len(said) == 3 and served(watched) == {first: True}, said
    assert "/a is not served" in said[0] and "manifest" in said[0]
    assert "/bad is not served" in said[1] and "decoder.onnx" in said[1]
    assert "/the-same is not served" in said[2] and "is served already" in said[2]
    shutil.copy(made[1].folder / "decoder.onnx", folder / "bad")
    until(watched, {first: True, made[1].manifest.fingerprint: False})


@pytest.mark.slow
def test_edges_go_over_to_what_is_left_and_none_fails(
    watched: Running, folder: Path, made: list[Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version is removed, the other one renamed, then replaced in place."""
    monkeypatch.setattr(edge_client.client, "ATTEMPTS", 1)
    first, second = (one.manifest.fingerprint for one in made)
    shutil.copytree(made[0].folder, folder / "first")
    until(watched, {first: True})
    shutil.copytree(made[1].folder, folder / "second")
    until(watched, {first: True, second: False})

    async def run() -> None:
        async with AsyncClient(watched.address, name="gate") as edge:
            going, served_pictures = True, 0

            async def ask() -> None:
                nonlocal served_pictures
                while going:
                    answer = (await edge.predict(RED, OneShot(point=4), budget=1.0)).answers[-1]
                    assert answer.classes[0].name == "red"
                    served_pictures += 1
                    await asyncio.sleep(0.005)

            asking = asyncio.create_task(ask())

            async def change(act: Callable[[], object], expected: dict[str, bool]) -> None:
                await asyncio.to_thread(act)
                await asyncio.to_thread(until, watched, expected)

            await change(lambda: shutil.rmtree(folder / "first"), {second: True})
            await change(lambda: (folder / "second").rename(folder / "other"), {second: True})
            await asyncio.sleep(3 * SETTLED_S)
            assert await asyncio.to_thread(served, watched) == {second: True}
            await change(lambda: put(made[0].folder, folder / "other"), {first: True})
            while edge.encoder.manifest.fingerprint != first:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            going = False
            await asking
            assert served_pictures > 10

    asyncio.run(asyncio.wait_for(run(), 60))
    shutil.rmtree(folder / "other")
    until(watched, {})


@pytest.mark.slow
def test_an_edge_that_stays_holds_up_no_other_change(
    watched: Running, folder: Path, made: list[Artifact], tmp_path: Path
) -> None:
    """It has pinned a version that is removed; its stream goes on for as long as the settings say."""
    first, second = (one.manifest.fingerprint for one in made)
    newest = tiny.nested(tmp_path / "newest" / "dogs")
    shutil.copytree(made[0].folder, folder / "first")
    until(watched, {first: True})
    with Client(watched.address, fingerprint=first) as pinned:
        shutil.copytree(made[1].folder, folder / "second")
        until(watched, {first: True, second: False})
        shutil.rmtree(folder / "first")
        until(watched, {second: True})
        shutil.copytree(newest.folder, folder / "third")
        until(watched, {second: True, newest.manifest.fingerprint: False})
        assert pinned.predict(RED, OneShot(point=4), budget=5.0).answers[-1].classes[0].name == "red"


@pytest.mark.slow
def test_the_latest_version_is_what_edges_get_where_the_settings_want_it(
    folder: Path, made: list[Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that comes while edges ask, and, after a restart, one that came meanwhile."""
    monkeypatch.setattr(folder_watch, "SETTLED_S", SETTLED_S)
    monkeypatch.setattr("inference_server.server.READ_AGAIN_S", 0.05)
    settings = {"models": folder, "versions": "latest", "versions_file": tmp_path / "versions.json"}
    newest = tiny.nested(tmp_path / "newest" / "dogs")
    first, second, third = (one.manifest.fingerprint for one in (*made, newest))
    shutil.copytree(made[0].folder, folder / "2026-01")

    async def run(running: Running) -> None:
        async with AsyncClient(running.address, name="gate") as edge:
            assert edge.encoder.manifest.fingerprint == first
            shutil.copytree(made[1].folder, folder / "2026-02")
            while edge.encoder.manifest.fingerprint != second:
                await edge.predict(RED, OneShot(point=4), budget=1.0)
                await asyncio.sleep(0.005)

    with serving(**settings) as running:
        asyncio.run(asyncio.wait_for(run(running), 60))
        assert served(running) == {first: False, second: True}
    shutil.copytree(newest.folder, folder / "2025-12")
    with serving(**settings) as running:
        assert served(running) == {third: True, first: False, second: False}
    shutil.rmtree(folder / "2025-12")
    with serving(**settings) as running:
        assert served(running) == {first: False, second: True}


def put(source: Path, target: Path) -> None:
    """The files of one in place of another's."""
    shutil.rmtree(target)
    shutil.copytree(source, target)


def test_a_server_begins_with_what_is_whole(folder: Path, made: list[Artifact]) -> None:
    shutil.copytree(made[0].folder, folder / "dogs")
    shutil.copytree(made[0].folder, folder / "the-same")
    (folder / "bad").mkdir()
    (folder / "bad" / "manifest.json").touch()
    deployment = Deployment(read_settings(models=folder))
    assert [one.artifact.folder for one in deployment.models] == [folder / "dogs"]
    assert deployment.found_models == {"dogs": made[0].manifest.fingerprint}
    shutil.rmtree(folder)
    with pytest.raises(SettingsError, match=r"cannot be read .*name one that is there with --models"):
        Deployment(read_settings(models=folder))


@pytest.mark.parametrize("versions", ["pinned", "latest"])
def test_a_server_begins_with_the_first_version_or_the_latest_by_the_folders_names(
    folder: Path, made: list[Artifact], versions: str
) -> None:
    for name, one in zip(("2026-01", "2026-02"), made, strict=True):
        shutil.copytree(one.folder, folder / name)
    current = Deployment(read_settings(models=folder, versions=versions)).models.named("tiny-dogs").manifest
    assert current.fingerprint == made[versions == "latest"].manifest.fingerprint


def test_without_a_model_callers_are_told(folder: Path) -> None:
    models = Deployment(read_settings(models=folder)).models
    for ask in (models.named, models.of_fingerprint):
        with pytest.raises(ModelMismatch, match=r"no model yet|the server has none"):
            ask("")
