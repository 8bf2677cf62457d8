"""Cards of the shipped models: a head that hubs read, and what the manifest says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import readme_renderer.markdown
import yaml

from artoveq.card import PART_OF_IMAGENET, card, read_results
from tests import tiny
from tests.conftest import MODEL, NESTED, ROOT
from wire.artifact import load_artifact
from wire.exceptions import DataError

SHIPPED = sorted(path.parent for path in (ROOT / "models").glob("*/manifest.json"))


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_a_shipped_model_s_card_has_its_head_its_figures_and_its_leak(folder: Path) -> None:
    manifest = load_artifact(folder, edge=True).manifest
    text = card(manifest, "apache-2.0")
    _, head, body = text.split("---\n", 2)
    values = yaml.safe_load(head)
    assert values["license"] == "apache-2.0" and values["library_name"] == "artoveq"
    assert values["datasets"] == [manifest.dataset] and manifest.family in values["tags"]
    (index,) = values["model-index"]
    assert index["name"] == manifest.name
    assert index["results"][0]["metrics"][0]["value"] == manifest.points[-1].metric
    leaks = manifest.dataset in PART_OF_IMAGENET
    assert manifest.fingerprint in body and ("is a part of ImageNet" in body) == leaks
    assert leaks == manifest.dataset.startswith("imagewoof")
    assert manifest.base is None or (manifest.base.sha256 in body and manifest.base.version in body)
    assert ("all of its test pictures" in body) == (manifest.task.free_text is None)
    assert "does not say which weights" not in body
    assert f"| {len(manifest.points)} | {manifest.points[-1].mean_bytes:.0f} |" in body
    recipe = re.search(r"```json\n(.*?)\n```", body, re.DOTALL)
    assert recipe and json.loads(recipe[1]) == manifest.recipe
    page = readme_renderer.markdown.render(body)
    assert page and page.count("<table>") == (3 if manifest.codec else 2) and "apache-2.0" in page


def test_results_of_the_model_are_shown_and_no_others(tmp_path: Path) -> None:
    manifest = load_artifact(MODEL, edge=True).manifest
    results = read_results(ROOT / "benchmarks" / "accuracy" / "results")
    text = card(manifest, results=results)
    assert "## Curve" in text and "## Cascade" in text and "`python -m benchmarks.accuracy curve`" in text
    assert "## Curve" not in card(load_artifact(NESTED, edge=True).manifest, results=results)
    robust = {"name": "robustness", "command": "python -m x", "commit": "1", "date": "2026-01-01"}
    figures = {"model": manifest.name, "rows": [{"noise": 1, "top1": 0.5}]}
    (tmp_path / "robustness.json").write_text(json.dumps({**robust, "figures": figures}))
    assert "## Robustness" in card(manifest, results=read_results(tmp_path))
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(DataError, match=r"other.json is no result of a benchmark"):
        read_results(tmp_path)


def test_names_from_elsewhere_are_text(tmp_path: Path) -> None:
    manifest = tiny.progressive(tmp_path / "model").manifest
    hostile = manifest.model_copy(update={"name": "<script>|x|\n# y`", "dataset": 'a"]\nb: c', "recipe": {}})
    text = card(hostile)
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head)["datasets"] == ['a"]\nb: c'] and "license" not in yaml.safe_load(head)
    assert "<script>" not in (readme_renderer.markdown.render(body) or "") and "None is stated" in body
    assert "does not say which weights" in body
