"""Models on the edge's disk: whole or not there, whatever goes wrong, and of bounded size."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_client.cache import ModelCache
from tests import tiny
from wire.artifact import Artifact
from wire.cache import MOST_SERVERS, cache_bytes, hold
from wire.exceptions import ArtifactError, SettingsError
from wire.manifest import ENCODER, MANIFEST

LARGE = 1 << 30


def files_of(artifact: Artifact) -> dict[str, bytes]:
    return {name: artifact.path(name).read_bytes() for name in (MANIFEST, *artifact.manifest.edge_files)}


@pytest.fixture
def models(tmp_path: Path) -> list[Artifact]:
    makers: list[Callable[[Path], Artifact]] = [tiny.progressive, tiny.nested, tiny.any_size]
    return [make(tmp_path / make.__name__) for make in makers]


def stored(cache: ModelCache, artifact: Artifact) -> Artifact:
    return cache.store(artifact.manifest.fingerprint, files_of(artifact))


def test_what_is_stored_is_found_again_and_what_is_damaged_is_stored_anew(
    tmp_path: Path, models: list[Artifact]
) -> None:
    cache, fingerprint = ModelCache(tmp_path / "cache", LARGE), models[0].manifest.fingerprint
    assert cache.load(fingerprint) is None
    artifact = stored(cache, models[0])
    assert artifact.manifest == models[0].manifest == stored(cache, models[0]).manifest
    artifact.path(ENCODER).write_bytes(b"damaged")
    assert cache.load(fingerprint) is None
    assert files_of(stored(cache, models[0])) == files_of(models[0])
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [fingerprint]


def test_data_and_names_reach_the_disk_before_the_model_is_there(
    tmp_path: Path, models: list[Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut a file has what was synced, and a folder the names that were."""
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        steps.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name.split("-")[0])
        fsync(descriptor)

    def replaced(old: Path, new: Path) -> None:
        steps.append("renamed")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    stored(ModelCache(tmp_path / "cache", LARGE), models[0])
    files = set(files_of(models[0]))
    assert set(steps[: len(files)]) == files
    assert steps[len(files) :] == [".new", "renamed", "cache"]


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_where_the_disk_fails_there_is_a_whole_model_or_none(
    tmp_path: Path, models: list[Artifact], monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    cache, fingerprint = ModelCache(tmp_path / "cache", LARGE), models[0].manifest.fingerprint
    work, failed = getattr(os, function), 0
    for failing in range(6):
        left = [failing]

        def fails(*arguments: object, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == -1:
                raise OSError(28, "No space left on device")
            work(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(os, function, fails)
            try:
                stored(cache, models[0])
            except ArtifactError as error:
                failed += 1
                assert "free some space" in str(error)
        found = cache.load(fingerprint)
        assert found is None or files_of(found) == files_of(models[0])
        assert not list((tmp_path / "cache").glob(".new-*"))
        stored(cache, models[1])  # goes on as if nothing had been
    assert failed


def test_the_models_unused_for_longest_go_and_nothing_else(tmp_path: Path, models: list[Artifact]) -> None:
    folder = tmp_path / "cache"
    sizes = [sum(map(len, files_of(model).values())) for model in models]
    most = sizes[0] + max(sizes[1:])
    cache = ModelCache(folder, most)
    for age, model in enumerate(models[:2]):
        stored(cache, model)
        os.utime(folder / model.manifest.fingerprint, (1000 + age, 1000 + age))
    (folder / "mine").mkdir()
    (folder / "mine" / "large").write_bytes(bytes(2 * most))
    assert cache.load(models[0].manifest.fingerprint)  # used last
    stored(cache, models[2])
    assert cache.load(models[1].manifest.fingerprint) is None
    assert cache.load(models[0].manifest.fingerprint) and cache.load(models[2].manifest.fingerprint)
    stored(ModelCache(folder, 1), models[1])
    assert sorted(path.name for path in folder.iterdir()) == sorted(["mine", models[1].manifest.fingerprint])


def test_what_a_server_served_last_is_remembered(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    cache = ModelCache(folder, LARGE)
    assert cache.served("host:1") is None
    for fingerprint in ("a" * 64, "b" * 64):
        cache.remember("host:1", fingerprint)
    cache.remember("[::1]:50051/../..", "c" * 64)
    again = ModelCache(folder, LARGE)
    assert (again.served("host:1"), again.served("[::1]:50051/../..")) == ("b" * 64, "c" * 64)
    for number in range(MOST_SERVERS + 5):
        cache.remember(f"other:{number}", "d" * 64)
    assert len(list((folder / "servers").iterdir())) == MOST_SERVERS
    for path in (folder / "servers").iterdir():
        path.write_bytes(b'{"fingerprint": "../../etc"}')
    assert cache.served(f"other:{MOST_SERVERS}") is None


def test_a_cache_that_cannot_be_written_is_a_warning_where_nothing_depends_on_it(
    tmp_path: Path, models: list[Artifact], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    cache = ModelCache(tmp_path / "file", LARGE)
    cache.remember("host:1", "a" * 64)
    assert "cannot be remembered" in caplog.text
    with pytest.raises(ArtifactError, match="set ARTOVEQ_CACHE"):
        stored(cache, models[0])


@pytest.mark.parametrize("value", ["0", "-1", "1e9", "much"])
def test_a_limit_is_a_number_of_bytes(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ARTOVEQ_CACHE_BYTES", value)
    with pytest.raises(SettingsError, match="number of bytes above 0"):
        cache_bytes()


def test_what_a_process_holds_is_not_trimmed(tmp_path: Path, models: list[Artifact]) -> None:
    cache = ModelCache(tmp_path / "cache", 1)
    served = stored(cache, models[0]).folder
    hold(served)
    stored(cache, models[1])
    newest = stored(cache, models[2]).folder
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == sorted([served.name, newest.name])
