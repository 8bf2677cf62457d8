"""Versions beyond the end of the process: what is kept, what a broken file does, and a command that is killed."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from inference_server.deployment import Deployment
from inference_server.management import Management
from inference_server.rollout import Rollout, VersionInUse
from inference_server.settings import read_settings
from inference_server.streams.streams import Streams
from inference_server.versions import Kept, KeptName, KeptVersion, NotKept, VersionsFile
from tests import tiny
from tests.conftest import ROOT
from tests.inference_server.conftest import TOKEN
from wire.artifact import Artifact
from wire.exceptions import SettingsError

A, B = "a" * 64, "b" * 64


def kept(*fingerprints: str) -> Kept:
    versions = [KeptVersion(fingerprint=one, folder=Path("/models") / one[:1]) for one in fingerprints]
    return Kept(names=[KeptName(name="dogs", versions=versions, chosen=[A], canary=B, share=0.1)])


@pytest.fixture
def versions(tmp_path: Path) -> list[Artifact]:
    """Three of one name."""
    made = (tiny.progressive, tiny.nested, lambda folder: tiny.progressive(folder, coded=True))
    return [make(tmp_path / str(number) / "dogs") for number, make in enumerate(made)]


def deployment(path: Path, *models: Artifact) -> tuple[Deployment, Management]:
    settings = read_settings(model=[one.folder for one in models], versions_file=path)
    found = Deployment(settings)
    return found, Management(found, Streams(found), 0.0)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = VersionsFile(tmp_path / "versions.json")
    assert file.read() == Kept()
    file.write(kept(A, B))
    assert VersionsFile(tmp_path / "versions.json").read() == kept(A, B)
    assert os.listdir(tmp_path) == ["versions.json"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "EOF"), ("[]", "as a whole"), ('{"names": [{}]}', "names.0.name"), ('{"name": []}', "name"),
        (kept(A, B).model_dump_json().replace("0.1", "1.5"), "share"),
        (kept(A, B).model_dump_json().replace(A, "short"), "fingerprint"),
        (kept(A, B).model_dump_json()[:-20], "EOF"),
    ],
)  # fmt: skip
def test_a_broken_file_is_a_sentence_and_stays(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "versions.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match=rf"{word}.*mend it, or move it away"):
        VersionsFile(path).read()
    assert path.read_text() == text


def test_two_versions_with_one_fingerprint_are_a_sentence() -> None:
    with pytest.raises(ValueError, match="two versions have the fingerprint aaaaaaaaaaaa"):
        kept(A, A)


def test_after_a_restart_all_is_as_it_was(tmp_path: Path, versions: list[Artifact]) -> None:
    """Promotions, a canary, what a rollback goes back to; a version whose folder is gone is left out, and named."""
    first, second, third = (one.manifest.fingerprint for one in versions)
    path = tmp_path / "versions.json"

    async def change() -> None:
        _, management = deployment(path, versions[0])
        for one in versions[1:]:
            await management.add(one.folder)
        await management.promote(second, 1.0)
        await management.promote(third, 0.25)

    asyncio.run(change())
    again, management = deployment(path, versions[0])
    rollout = again.models.rollout(again.models.named("tiny-dogs"))
    assert [one.manifest.fingerprint for one in again.models] == [first, second, third]
    assert (rollout.current, rollout.canary, rollout.canary_share) == (second, third, 0.25)
    asyncio.run(management.roll_back("tiny-dogs"))
    asyncio.run(management.roll_back("tiny-dogs"))
    assert rollout_of(deployment(path, versions[0])[0]).current == first
    with pytest.raises(VersionInUse, match="nothing to go back to"):
        asyncio.run(deployment(path, versions[0])[1].roll_back("tiny-dogs"))


def test_a_version_whose_folder_is_gone_is_left_out_and_named(
    tmp_path: Path, versions: list[Artifact], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "versions.json"

    async def change() -> None:
        _, management = deployment(path, versions[0])
        await management.add(versions[1].folder)
        await management.promote(versions[1].manifest.fingerprint, 1.0)

    asyncio.run(change())
    shutil.rmtree(versions[1].folder)
    assert rollout_of(deployment(path, versions[0])[0]).current == versions[0].manifest.fingerprint
    versions[2].folder.rename(versions[1].folder)
    assert len(list(deployment(path, versions[0])[0].models)) == 1
    gone, other = (record.getMessage() for record in caplog.records if record.levelno == logging.ERROR)
    assert "is served no longer" in gone and "manifest.json" in gone and "holds another one now" in other


def test_what_cannot_be_kept_is_not_done(
    tmp_path: Path, versions: list[Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "versions.json"
    served, management = deployment(path, versions[0])

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def change() -> None:
        await management.add(versions[1].folder)
        before, text = served.models.kept(), path.read_text()
        monkeypatch.setattr(os, "fsync", full)
        for change in (
            management.add(versions[2].folder),
            management.promote(versions[1].manifest.fingerprint, 0.5),
            management.remove(versions[1].manifest.fingerprint),
        ):
            with pytest.raises(NotKept, match=r"No space left on device.*all stays as it was"):
                await change
            assert served.models.kept() == before and path.read_text() == text

    asyncio.run(change())
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []


def rollout_of(served: Deployment) -> Rollout:
    return served.models.rollout(served.models.named("tiny-dogs"))


@pytest.mark.slow
def test_a_server_that_is_killed_comes_back_with_its_versions(tmp_path: Path, versions: list[Artifact]) -> None:
    admins = tmp_path / "admins"
    admins.write_text(f"me:{TOKEN}\n")
    admins.chmod(0o600)
    kept = {"admin_tokens_file": admins, "versions_file": tmp_path / "versions.json"}
    second = versions[1].manifest.fingerprint
    with command(versions[0].folder, **kept) as http:
        assert http.post("/v1/models", json={"folder": str(versions[1].folder)}).status_code == 201
        assert http.post("/v1/promotions", json={"fingerprint": second, "share": 0.3}).status_code == 200
        before = http.get("/v1/models").json()
    with command(versions[0].folder, **kept) as http:
        assert http.get("/v1/models").json() == before and [one["share"] for one in before] == [0.7, 0.3]


@contextlib.contextmanager
def command(*models: Path, **settings: Any) -> Iterator[httpx2.Client]:
    """`artoveq serve`, which is killed at the end; a client of its page, with an admin's token."""
    given = [part for one in models for part in ("--model", str(one))]
    given += [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    serve = [sys.executable, "-m", "artoveq", "serve", "--host", "127.0.0.1", "--port", "0", "--http-port", "0", *given]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().rpartition(" ")[2].strip()
            with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}) as http:
                yield http
        finally:
            process.send_signal(signal.SIGKILL)
