"""The benchmark of aligned models: its bars, its tables, and rows that start from one stage 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import benchmarks.accuracy.aligning  # noqa: F401 (registers the families of the rows)
from benchmarks.accuracy.aligned import (
    PROFILE,
    ablations_table,
    bars,
    beside_webp,
    files_table,
    grid_table,
    models_table,
)
from benchmarks.accuracy.rerun import adopt_stage_1
from benchmarks.accuracy.rows import ALIGNED, recipe_of
from tests.seams.toy_backbone import ThreeLayers
from tests.training.test_aligned import small, split_of
from tests.wire.manifests import values_of
from training.backbones import BACKBONES
from training.model import RateModel
from training.prepare import make_views
from training.recipe import Recipe
from training.stages import first_stage, train_on
from wire.manifest import CodecFigures, Manifest


def manifest_of(metrics: tuple[float, ...]) -> Manifest:
    """Points of 8, 16, 24, … bytes; 60 % unquantised."""
    values = values_of((1,), [(2**level,) for level in range(1, 1 + len(metrics))], positions=64)
    for point, metric in zip(values["points"], metrics, strict=True):
        point["metric"] = metric
    codec = [
        {"side": 8, "quality": 1, "payload_bytes": cost, "metric": at} for cost, at in ((80.0, 0.55), (400.0, 0.7))
    ]
    return Manifest.model_validate({**values, "unquantised_metric": 0.6, "codec": codec})


def test_bars_are_of_the_best_point_within_the_bytes() -> None:
    manifest = manifest_of((0.5, 0.55, 0.57))
    assert [(bar.value, bar.limit, bar.holds) for bar in bars(manifest)][:2] == [(3.0, 2.2, False), (3.0, 5.0, True)]
    assert beside_webp(manifest) == [(0.55, 80.0, 5.0), (0.7, 400.0, None)]
    assert bars(manifest)[2].value == 5.0 and bars(manifest)[2].holds
    assert "| 57.0 | 57.0 | 57.0 | 60.0 |" in models_table([manifest])
    assert isinstance(manifest.codec[0], CodecFigures)


def test_rows_are_compared_at_equal_bytes() -> None:
    assert "was trained yet" in ablations_table({})

    def result(*rows: tuple[float, float]) -> dict[str, Any]:
        found = [{"payload_bytes": cost, "top1": top1} for cost, top1 in rows]
        return {"held_out": found, "test": found, "minutes": 9.6}

    results = {
        f"{PROFILE}/gates-both/1": result((0, 0.9), (49, 0.4), (98, 0.5), (147, 0.55)),
        f"{PROFILE}/linear/0": result((0, 0.9), (24.5, 0.3)),
    }
    lines = ablations_table(results).splitlines()[2:]
    assert lines[0].startswith("| linear | 0 | 30.0 / 30.0 |") and lines[1].startswith(
        "| gates-both | 1 | 40.0 / 40.0 |"
    )
    assert lines[1].endswith("| 50.0 / 50.0 | 55.0 / 55.0 | 55.0 / 55.0 | 10 |")


def test_files_are_beside_the_cheapest_point_that_is_as_good() -> None:
    assert "No files were sent yet" in files_table({}, [])
    ours = manifest_of((0.5, 0.55, 0.57)).model_copy(update={"name": f"{PROFILE}-aligned"})
    row = {"side": 56, "quality": 40, "payload_bytes": 160.0, "as it is": {"top1": 0.2}, "fine-tuned": {"top1": 0.55}}
    better = {**row, "payload_bytes": 99.6, "fine-tuned": {"top1": 0.58}}
    found = files_table({f"{PROFILE}/webp/0": {"test": [row, better]}}, [ours]).splitlines()[2:]
    assert found == [
        "| webp | 56×56, 40 | 100 | 20.0 | 58.0 | – |",
        "| webp | 56×56, 40 | 160 | 20.0 | 55.0 | 10.0 (16 bytes) |",
    ]


def test_tokens_are_crossed_with_levels() -> None:
    assert "were not trained yet" in grid_table({})
    grid = [
        {
            "tokens": tokens,
            "allocation": [level] if level else [],
            "payload_bytes": tokens * level,
            "top1": tokens / 100,
        }
        for tokens in (1, 4)
        for level in (0, 1, 2)
    ]
    heads, _, one, four = grid_table({f"{PROFILE}/prefix/0": {"grid": grid}}).splitlines()
    assert heads == "| tokens | level 1 | level 2 |"
    assert one == "| 1 | 1.0 (1 B) | 1.0 (2 B) |" and four == "| 4 | 4.0 (4 B) | 4.0 (8 B) |"


def test_rows_differ_in_what_their_names_say() -> None:
    recipes = {variant: recipe_of(f"{PROFILE}/{variant}/0") for variant in ALIGNED}
    assert len({recipe.key() for recipe in recipes.values()}) == len(ALIGNED)
    assert {recipe.network.model_dump_json() for recipe in recipes.values()} == {
        recipes["linear"].network.model_dump_json()
    }
    of_groups = [recipes[f"groups-{n}"].stage1_key() for n in (4, 16, 32)]
    assert {*of_groups} == {recipes["gates-both"].stage1_key()} != {recipes["linear"].stage1_key()}
    bits = [recipes[row].codebook.max_level * 32 // recipes[row].codebook.d for row in ("gates-both", "groups-16")]
    assert bits == [64, 64]


@pytest.mark.training
def test_rows_start_from_one_stage_1_and_then_learn_their_gates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BACKBONES, "three layers", ThreeLayers())
    stage = {"epochs": 1, "pretrained_rate": 5e-3, "new_rate": 5e-3}
    network = {"backbone": "three layers", "cut": 2, "latent_channels": 8, "weights": "random"}

    def row(family: str) -> Recipe:
        codebook = {"family": family, "d": 4, "max_level": 2}
        return small(name=family, network=network, codebook=codebook, batch=8, stage1=stage, stage3=stage)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    linear, both = row("aligned-linear"), row("aligned-both")
    views = make_views(linear, split_of(32), tmp_path, {}, torch.device("cpu"))
    adopt_stage_1(both, linear, views, 2, tmp_path, None)
    adopt_stage_1(linear, linear, views, 2, tmp_path, None)  # its own, already
    one, other = (first_stage(recipe, views, 2, tmp_path, None) for recipe in (linear, both))
    trained = train_on(both, views, 2, tmp_path, None)
    torch.set_num_threads(threads)
    for name, value in one.network.state_dict().items():
        assert torch.equal(value, other.network.state_dict()[name]), name
    assert not _gated(one).any() and _gated(trained).any()
    assert not torch.equal(one.network.expand.weight, RateModel(linear, 2, None).network.expand.weight)


def _gated(model: RateModel) -> torch.Tensor:
    weight: torch.Tensor = model.network.expand.gated.weight  # type: ignore[union-attr, assignment]
    return weight
