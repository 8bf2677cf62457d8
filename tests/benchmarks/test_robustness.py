"""What poor cameras cost, measured through the parts that ship."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from artoveq.evaluation import evaluate
from benchmarks import results
from benchmarks.accuracy import robustness
from tests.conftest import MODEL, PICTURES
from training.data import Split
from wire.artifact import load_artifact

pytestmark = pytest.mark.training


def test_robustness_measures_every_camera_through_what_ships(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr(robustness, "KINDS", {"noise": ("noise", (20,)), "underexposed": ("exposure", (-1.0,))})
    artifact, files = load_artifact(MODEL), sorted(PICTURES.glob("*.png"))[:6]
    test = Split(artifact.manifest.task.classes, files, np.arange(len(files)) % 10)
    figures, bars = robustness.robustness([artifact], test)
    assert [(row["camera"], row["strength"]) for row in figures["rows"]] == robustness.conditions()
    plain, noisy, _ = figures["rows"]
    of_level = {n: artifact.manifest.levels[n] for n in robustness.LEVELS}
    measured = {row["point"]: row for row in evaluate(artifact, test)}
    assert {n: plain[f"level {n}"] for n in of_level} == {n: round(measured[p]["top1"], 4) for n, p in of_level.items()}
    assert plain["bytes, level 4"] == pytest.approx(measured[of_level[4]]["coded_bytes"], abs=0.1)
    assert plain["bytes of clean"] == 1 and noisy["bytes of clean"] != 1 and 0 <= plain["point 0"] <= 1
    assert plain["bytes, WebP"] > 100 and len(bars) == 2

    results.write_results("accuracy", "robustness", figures, bars)
    changed = load_artifact(MODEL.with_name("imagewoof64-compact-nested"))
    both, same = robustness.robustness([changed], test)
    assert len(both["rows"]) == 6 and both["rows"][:3] == figures["rows"] and same == bars
    assert set(both["fingerprints"]) == {artifact.manifest.name, changed.manifest.name}
