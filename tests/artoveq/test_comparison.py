"""Two models on the same pictures: for as many bytes, and with a test that knows chance."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artoveq.commands import training as commands
from artoveq.comparison import ROWS, budgets, compare, sign_test
from tests.conftest import MODEL, NESTED
from tests.wire.manifests import manifest_of
from training import data
from training.data import Split
from wire.artifact import Artifact, load_artifact
from wire.exceptions import UsageError


@pytest.fixture(scope="module")
def nested() -> Artifact:
    return load_artifact(NESTED)


def noise(artifact: Artifact, count: int = 24) -> Split:
    pictures = np.random.default_rng(0).integers(0, 255, (count, 64, 64, 3), np.uint8)
    return Split(artifact.manifest.task.classes, list(pictures), np.arange(count) % 10)


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_sign_test_is_exact(wins: int, losses: int) -> None:
    count = wins + losses
    least = abs(wins - losses)
    uneven = sum(math.comb(count, k) for k in range(count + 1) if abs(2 * k - count) >= least)
    assert sign_test(wins, losses) == pytest.approx(uneven / 2**count)


def test_a_model_compared_with_itself_is_as_good(artifact: Artifact) -> None:
    rows = compare(artifact, artifact, noise(artifact))
    assert len(rows) == ROWS and [row["bytes"] for row in rows] == sorted(row["bytes"] for row in rows)
    assert all(row["better"] == [0, 0] and row["p"] == 1 and row["top1"][0] == row["top1"][1] for row in rows)


def test_counts_are_of_the_same_pictures_and_points_within_the_bytes(artifact: Artifact, nested: Artifact) -> None:
    split = noise(artifact)
    for row in compare(artifact, nested, split):
        first, second = row["points"]
        assert nested.manifest.point(second).mean_bytes <= artifact.manifest.point(first).mean_bytes
        wins, losses = row["better"]
        assert (wins - losses) / len(split) == pytest.approx(row["top1"][0] - row["top1"][1], abs=1e-6)
        assert row["p"] == sign_test(wins, losses)


def test_budgets_are_the_firsts_own_that_the_second_can_meet() -> None:
    one = manifest_of((2,), [(2,), (4,), (16,)], positions=16)
    other = manifest_of((2,), [(4,), (8,)], positions=16)
    assert [pair[1:] for pair in budgets(one, other)] == [(2, 1), (3, 2)]


def test_models_of_different_tasks_or_without_a_budget_are_refused(artifact: Artifact, nested: Artifact) -> None:
    task = artifact.manifest.task.model_copy(update={"name": "reconstruction"})
    other = Artifact(artifact.folder, artifact.manifest.model_copy(update={"task": task}))
    with pytest.raises(UsageError, match="two models of one task"):
        compare(artifact, other, noise(artifact))
    cheap = artifact.manifest.model_copy(update={"points": artifact.manifest.points[:1]})
    dear = nested.manifest.model_copy(update={"points": nested.manifest.points[-1:]})
    with pytest.raises(UsageError, match="the other way round"):
        compare(Artifact(artifact.folder, cheap), Artifact(nested.folder, dear), noise(artifact))


def test_the_command_prints_a_table_and_json(
    artifact: Artifact, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(data, "load_split", lambda *_: noise(artifact, 8))
    commands.compare(Path(MODEL), Path(NESTED), "imagewoof:here", as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["models"] == [MODEL.name, NESTED.name] and found["pictures"] == 8 and len(found["rows"]) == ROWS
    commands.compare(Path(MODEL), Path(NESTED), "imagewoof:here", as_json=False)
    assert "8 test pictures" in capsys.readouterr().out
