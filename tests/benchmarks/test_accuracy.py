"""The accuracy benchmark: scenarios, rows, codecs, and the command on committed results."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artoveq.scenarios import KAPPA, best_single, delivered, rate_probabilities
from benchmarks.accuracy.cascade import Stages, best_within, runs
from benchmarks.accuracy.codecs import POINTS, compress
from benchmarks.accuracy.curve import curve
from benchmarks.accuracy.figures import draw
from benchmarks.accuracy.results import families, gaps, mixed_against_identical, read, shipped_families
from benchmarks.accuracy.rows import CODECS, PROFILES, STARTS, recipe_of
from tests.conftest import PICTURES, ROOT
from tests.edge_client.models import headed_like, shipped_like
from wire.exceptions import PointError, RecipeError
from wire.pictures import fit_picture, read_picture

accuracies = st.lists(st.floats(0, 1), min_size=8, max_size=8)


@pytest.mark.parametrize("scenario", KAPPA)
def test_rates_follow_the_papers_law(scenario: str) -> None:
    odds = rate_probabilities(scenario)
    assert sum(odds.values()) == pytest.approx(1)
    assert all(odds[b + 1] / odds[b] == pytest.approx(math.exp(KAPPA[scenario])) for b in range(1, 8))


def test_a_cascade_stops_at_the_first_answer_that_is_sure_enough() -> None:
    found = Stages(
        sure=np.array([[0.9, 0.5, 0.5], [0.4, 0.8, 0.9], [0.1, 0.2, 0.3]]),
        right=np.array([[True, False, False], [False, True, False], [False, False, True]]),
        raw=np.array([[0.0, 64, 128]] * 3),
        coded=np.array([[0.0, 60, 120], [0, 50, 110], [0, 40, 100]]),
    )
    row = found.stopped(0.8)
    assert (row["raw_bytes"], row["coded_bytes"]) == (64, 50)
    assert (row["accuracy"], row["nothing_sent"]) == (1.0, 0.3333)
    assert found.stopped(0.0)["raw_bytes"] == 0 and found.stopped(1.0)["coded_bytes"] == 110
    alone = found.without_first().stopped(0.8)
    assert (alone["coded_bytes"], alone["nothing_sent"]) == (90, 0)
    assert best_within(found, 60)["accuracy"] == 1.0 and best_within(found, 49)["coded_bytes"] <= 49


def test_the_runs_of_a_cascade_begin_where_the_edges_own_answer_ends() -> None:
    plain, headed = shipped_like(), headed_like(0.6)
    assert runs(plain)[-1] == runs(headed)[-1] >= 60
    own = headed.local_head
    assert own is not None and headed.point(headed.chain[runs(headed)[0] - 1]).metric > own.metric


def test_the_curve_begins_without_a_byte() -> None:
    figures, (bar,) = curve(headed_like(0.75))
    assert [row["raw_bytes"] for row in figures["rows"]] == [0, 16, 24, 32, 48, 64, 104, 192, 512]
    assert figures["rows"][0]["accuracy"] == 0.75 and bar.holds
    with pytest.raises(PointError, match="no local head"):
        curve(shipped_like())


@given(accuracies)
def test_what_is_delivered_lies_between_the_worst_and_the_best_level(values: list[float]) -> None:
    top1 = {level: value for level, value in enumerate(values, 1)}
    for scenario in KAPPA:
        assert min(values) - 1e-9 <= delivered(top1, scenario) <= max(values) + 1e-9
    assert delivered(top1, "S1") == pytest.approx(np.mean(values))


@given(accuracies)
def test_one_rate_alone_loses_what_its_channel_cannot_carry(values: list[float]) -> None:
    top1 = {level: value for level, value in enumerate(values, 1)}
    assert delivered({5: 0.8}, "S1") == pytest.approx(0.8 * 4 / 8)
    best = best_single(top1, "S1")
    assert best == pytest.approx(max(v * (9 - level) / 8 for level, v in top1.items()))


@pytest.mark.parametrize("profile", sorted(p.stem for p in PROFILES.glob("*.toml")))
def test_all_rows_of_a_profile_share_stage_1(profile: str) -> None:
    variants = (
        "progressive",
        "nested",
        "mixed",
        "residual",
        "fixed-3",
        "lbg-8",
        "no-distillation",
        "joint-nested",
        "long-nested",
    )
    recipes = [recipe_of(f"{profile}/{variant}/{seed}") for variant in variants for seed in (0, 1)]
    assert len({recipe.stage1_key() for recipe in recipes}) == 1
    assert len({recipe.key() for recipe in recipes}) == len(recipes)
    codecs = [recipe_of(f"{profile}/{codec}/0") for codec in CODECS]
    assert {recipe.stage1_key() for recipe in codecs} == {
        recipe_of(f"{profile}/{STARTS.get(profile, 'nested')}/0").stage1_key()
    }
    assert len({recipe.name for recipe in (*recipes, *codecs)}) == len(recipes) + len(codecs)


@pytest.mark.parametrize("name", ["nowhere/nested/0", "cifar100-compact/magic/0", "cifar100-compact/nested", "fixed-3"])
def test_a_row_that_does_not_exist_is_named(name: str) -> None:
    with pytest.raises(RecipeError, match=f"There is no row '{name}'"):
        recipe_of(name)
    with pytest.raises(RecipeError, match=r"codebook\.max_level"):
        recipe_of("cifar100-compact/fixed-11/0")


@pytest.mark.parametrize("codec", POINTS)
def test_a_codec_gives_back_a_picture_like_the_one_sent(codec: str) -> None:
    picture = fit_picture(read_picture(next(iter(sorted(PICTURES.glob("*.png"))))), 64)
    errors, sizes = [], []
    for share, quality in POINTS[codec]:
        if share == 1:
            arrived, size = compress(picture, codec, share, quality)
            assert arrived.shape == picture.shape
            errors.append(float(np.abs(arrived.astype(float) - picture).mean()))
            sizes.append(size)
    assert sizes == sorted(sizes)
    assert errors[-1] < errors[0] < 40


def row(variant: str, values: dict[Any, float]) -> dict[str, Any]:
    test = [{"allocation": list(a), "top1": v, "nll": 1.0, "payload_bytes": 64.0} for a, v in values.items()]
    return {"test": test, "held_out": test, "minutes": 1.0, "row": variant}


def test_rows_of_one_rate_become_one_family() -> None:
    results = {f"p/fixed-{l}/{seed}": row("", {(): 0.9, (l,): 0.5 + l / 20}) for l in range(1, 9) for seed in (0, 1)}
    results["p/nested/0"] = row("", {(): 0.9, **{(l,): 0.4 + l / 20 for l in range(1, 9)}})
    results["p/fixed-1/2"] = row("", {(): 0.9, (1,): 0.1})  # a seed of which only one rate is there yet
    assert all(set(family.seeds) <= {0, 1} for family in families(results))
    found = {family.family: family.row() for family in families(results)}
    assert set(found) == {"fixed", "single-rate", "nested"}
    assert found["fixed"]["S1"] == pytest.approx(0.725)
    assert found["nested"]["S1"] == pytest.approx(0.625)
    assert found["fixed"]["S2"] < found["fixed"]["S1"] < found["fixed"]["S3"]
    assert found["single-rate"]["S1"] < found["fixed"]["S1"]


def test_long_families_are_compared_with_fixed_rates_of_as_many_epochs() -> None:
    results = {f"p/fixed-{l}/0": row("", {(l,): 0.7}) for l in range(1, 9)}
    results |= {f"p/long-fixed-{l}/0": row("", {(l,): 0.8}) for l in range(1, 9)}
    results |= {f"p/{kind}nested/0": row("", {(l,): 0.75 for l in range(1, 9)}) for kind in ("", "long-")}
    found = families(results)
    shown = {family.family: gaps(found, family) for family in found}
    assert shown["nested"] == pytest.approx((-0.05, -0.05))
    assert shown["long-nested"] == pytest.approx((-0.05, 0.05))
    assert shown["fixed"] == shown["long-fixed"] == (None, None)


def test_long_rows_of_one_rate_have_the_epochs_of_long_families() -> None:
    recipe, family = recipe_of("imagewoof64-compact/long-fixed-3/1"), recipe_of("imagewoof64-compact/long-nested/1")
    assert recipe.stage3 == family.stage3 and recipe.codebook.family == "fixed" and recipe.codebook.max_level == 3


def test_mixed_is_compared_with_the_highest_level_that_fits() -> None:
    results = {
        "p/mixed/0": row("", {(1, 1): 0.5, (2, 1): 0.6, (3, 1): 0.7, (5, 4): 0.9}),
        "p/nested/0": row("", {(1,): 0.5, (2,): 0.65, (3,): 0.8}),
    }
    rows = mixed_against_identical(results, "p")
    assert [(r["rate"], r["level"], r["identical"]) for r in rows] == [(1, 1, 0.5), (1.5, 1, 0.5), (2, 2, 0.65)]


def command(*words: str) -> str:
    run = [sys.executable, "-m", "benchmarks.accuracy", *words]
    return subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_table_1_is_the_mean_of_the_committed_levels() -> None:
    rows = {(r["profile"], r["family"]): r for r in json.loads(command("table1", "--json"))}
    results = read()
    assert all(set(r) == {"profile", "family", "S1", "S2", "S3"} for r in rows.values())
    seeds = [r for name, r in results.items() if name.startswith("imagewoof64-compact/progressive/")]
    tops = [[level["top1"] for level in r["test"] if level["allocation"]] for r in seeds]
    assert rows["imagewoof64-compact", "progressive"]["S1"] == pytest.approx(np.mean(tops), abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["table1", "mixed", "ablations", "codecs"])
def test_every_table_prints(name: str) -> None:
    assert "imagewoof64-compact" in command(name)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of matplotlib's dependencies
def test_the_plots_are_those_of_the_committed_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import benchmarks.accuracy.figures as figures

    committed = {p.name: p.read_text() for p in figures.FIGURES.glob("*.svg")}
    monkeypatch.setattr(figures, "FIGURES", tmp_path / "figures")
    drawn = draw(read())
    assert {p.name for p in drawn} == set(committed)


@pytest.mark.training
@pytest.mark.parametrize(
    ("family", "first", "last"),
    [
        ("progressive", ([1], 64.0), ([8], 512.0)),
        ("nested", ([1], 64.0), ([8], 512.0)),
        ("mixed", (None, 64.0), ([8] * 4, 512.0)),
    ],
)
def test_a_row_says_the_levels_and_bytes_of_each_point(
    family: str, first: tuple[list[int] | None, float], last: tuple[list[int], float]
) -> None:
    import torch

    from benchmarks.accuracy.rerun import codewords, measure
    from training.model import RateModel
    from training.views import Batch

    torch.manual_seed(0)
    model = RateModel(recipe_of(f"imagewoof64-compact/{family}/0"), 10, None)
    rows = measure(model, [Batch(torch.rand(3, 3, 64, 64), torch.tensor([0, 1, 2]))])
    found = [(row["allocation"], row["payload_bytes"]) for row in rows]
    assert found[0] == ([], 0.0) and found[-1] == last
    assert found[1][1] == first[1] and first[0] in (None, found[1][0])
    assert all(("perplexity" in row) is (len(row["allocation"]) == 1) for row in rows)
    assert {level: len(words) for level, words in codewords(model).items()} == {l: 2**l for l in range(1, 9)}


def test_what_a_generator_writes_is_trained_with_the_network_and_regrouped_models_are_not() -> None:
    import torch

    from benchmarks.accuracy.generated import GeneratedCodebook, RegroupedCodebook, shuffle_rows
    from training.codebooks.nested import FixedCodebook
    from training.recipe import CodebookRecipe

    torch.manual_seed(0)
    x = torch.randn(2048, 2, 2)
    written = GeneratedCodebook(2, CodebookRecipe(family="rate-adaptive", max_level=10, segments=1))
    before = written.codewords.detach().clone()
    z = written.quantise(x, (2, 100, 1024))
    sum(((vectors - x) ** 2).mean() for vectors in z.values()).backward()  # type: ignore[union-attr]
    assert before.shape == (2, 1024, 2) and all(p.grad is not None for p in written.parameters())

    fixed = FixedCodebook(2, CodebookRecipe(family="fixed", max_level=7))
    fixed.extend(x, 128)
    regrouped = RegroupedCodebook(fixed, x)
    with torch.no_grad():
        error = {size: float((regrouped.quantise(x, [size])[size] - x).square().mean()) for size in (8, 128, 200)}
        shuffle_rows(fixed)
        random = float((fixed.quantise(x, [8])[8] - x).square().mean())
    assert error[200] < error[128] < error[8] < random


def test_shipped_artifacts_are_compared_with_fixed_rates_of_as_many_epochs() -> None:
    shipped = {family.family: family for family in shipped_families() if family.profile == "imagewoof64-compact"}
    own = shipped["shipped nested"]
    results = {f"{own.profile}/fixed-{l}/0": row("", {(l,): 0.7}) for l in range(1, 9)}
    for result in results.values():
        result["recipe"] = {"stage3": {"epochs": 2}}
    others = {name.replace("fixed", "long-fixed"): {**result} for name, result in results.items()}
    for result in others.values():
        result["recipe"] = {"stage3": {"epochs": own.epochs}}
    behind = pytest.approx(0.7 - own.row()["S1"], abs=1e-5)
    assert gaps([*families(results), own], own) == (behind, None)
    assert gaps([*families(results | others), own], own) == (behind, behind)


def test_a_row_of_a_trained_chain_has_the_chain_and_the_epochs_of_long_ones() -> None:
    recipe, longer = recipe_of("cifar100-upsampled/chain/1"), recipe_of("cifar100-upsampled/long-chain/0")
    assert recipe.stage3.decoded == longer.stage3.decoded == "chain" and recipe.codebook.planes_a_level == 8
    assert (recipe.stage3.epochs, longer.stage3.epochs) == (6, 15)
