"""Real parts for every test: the shipped artifact, a real server process, sample pictures; and what markers need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from artoveq.processes import ServerProcess, server_process
from tests.needs import NEEDS, check
from wire.artifact import Artifact, load_artifact

ROOT = Path(__file__).parent.parent
MODEL = ROOT / "models" / "imagewoof64-compact-progressive"
NESTED = ROOT / "models" / "imagewoof64-compact-nested"
PICTURES = ROOT / "artoveq" / "demo" / "pictures"
LONG, LONG_S = {"slow", "clients", "training", "root", "faketime"}, 400
"""Markers of tests that may take so many seconds; others have the limit in pyproject.toml."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if {marker.name for marker in item.iter_markers()} & LONG and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LONG_S))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers():
        if marker.name in NEEDS:
            check(marker.name)


@pytest.fixture(scope="session")
def artifact() -> Artifact:
    return load_artifact(MODEL)


@pytest.fixture(scope="session")
def server() -> Iterator[ServerProcess]:
    with server_process(MODEL) as running:
        yield running


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARTOVEQ_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
