"""Several models on one server: each caller gets the one that is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from inference_server.memory import MemoryBudget
from inference_server.model import Model
from inference_server.registry import ModelRegistry
from inference_server.settings import Settings, read_settings
from tests import tiny
from wire.artifact import Artifact
from wire.exceptions import ModelMismatch, SettingsError


def models(*artifacts: Artifact) -> list[Model]:
    settings = read_settings(model=[one.folder for one in artifacts])
    memory = MemoryBudget(settings.picture_memory_bytes)
    return [Model(folder, settings, memory) for folder in settings.model]


def test_models_by_fingerprint_and_name(progressive: Artifact, nested: Artifact) -> None:
    first, second = models(progressive, nested)
    registry = ModelRegistry([first, second])
    assert list(registry) == [first, second]
    assert registry.named("") is first
    assert registry.named(nested.manifest.name) is registry.named(nested.manifest.fingerprint) is second
    assert registry.of_fingerprint(nested.manifest.fingerprint) is second
    for unknown in ("0" * 64, nested.manifest.name, ""):
        with pytest.raises(ModelMismatch, match=f"the server has {progressive.manifest.fingerprint[:12]}"):
            registry.of_fingerprint(unknown)
    with pytest.raises(ModelMismatch, match="has no model 'other'; name one of tiny-progressive, tiny-nested"):
        registry.named("other")


def test_a_name_may_have_versions_and_a_version_comes_once(progressive: Artifact, tmp_path: Path) -> None:
    first, second = models(progressive, tiny.nested(tmp_path / "progressive"))
    registry = ModelRegistry([first, second])
    assert registry.named("tiny-progressive") is registry.of_edge(second, "edge") is first
    registry.rollout(first).promote(second.manifest.fingerprint, 1.0)
    assert registry.named("tiny-progressive") is registry.named("") is second
    assert registry.remove(first.manifest.fingerprint) is first and list(registry) == [second]
    with pytest.raises(SettingsError, match=r"is served already\. Name each model once"):
        ModelRegistry(models(progressive, progressive))


def test_folders_come_one_or_several(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings(model="a").model == (Path("a"),)
    assert read_settings(model=Path("a")).model == (Path("a"),)
    assert read_settings(model=[Path("a"), "b"]).model == (Path("a"), Path("b"))
    monkeypatch.setenv("ARTOVEQ_MODEL", f"a{os.pathsep}b/c")
    assert Settings().model == (Path("a"), Path("b/c"))  # type: ignore[call-arg]
    for nothing in ("", []):
        with pytest.raises(SettingsError, match="name its folder with --model"):
            read_settings(model=nothing)
