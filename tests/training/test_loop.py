"""A whole training, small: real pictures made here, two classes, random weights, one pass per stage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from artoveq.evaluation import evaluate, evaluate_through_server, write_evaluated
from benchmarks.service.measure import disk_of
from tests.conftest import MODEL
from training.checkpoint import load_checkpoint, save_checkpoint
from training.data import load_split
from training.export import export_files
from training.loop import one_cycle, train, trained_model
from training.model import RateModel
from training.network import SplitNetwork, unfold_batch_norms
from training.recipe import NetworkRecipe, Recipe, read_recipe
from training.views import make_views
from wire.artifact import load_artifact
from wire.exceptions import CheckpointError, DataError, RecipeError, TrainingError

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's exporter

RECIPE = """
name = "tiny-{family}"
dataset = "stripes"
picture = 32
batch = 8
hold_out_every = 8
[network]
weights = "random"
[codebook]
family = "{family}"
max_level = 3
[stage1]
epochs = {epochs}
pretrained_rate = 1e-3
new_rate = {rate}
[stage3]
epochs = {epochs}
pretrained_rate = 1e-3
new_rate = {rate}
"""


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Upright and lying stripes, 48 of each to train on."""
    root, random = tmp_path_factory.mktemp("stripes"), np.random.default_rng(0)
    for split, count in (("train", 48), ("test", 16)):
        for name in ("lying", "upright"):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                wave = np.sin(np.arange(40) / random.uniform(1, 3) + random.uniform(0, 6))
                picture = wave[:, None].repeat(40, 1) if name == "lying" else wave[None].repeat(40, 0)
                noisy = picture * 90 + 128 + random.normal(0, 15, picture.shape)
                Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(root / split / name / f"{i}.png")
    return f"folder:{root}"


def recipe(folder: Path, family: str, epochs: int = 1, rate: str = "3e-3", more: str = "") -> Recipe:
    path = folder / "recipe.toml"
    path.write_text(RECIPE.format(family=family, epochs=epochs, rate=rate) + more)
    return read_recipe(path)


def trained(wanted: Recipe, data: str, runs: Path) -> RateModel:
    train(wanted, load_split(data, "train"), runs, weights_file=None, device=torch.device("cpu"))
    return trained_model(wanted, 2, runs)[0]


@pytest.mark.parametrize("family", ["progressive", "fixed"])
def test_a_trained_recipe_becomes_an_artifact_that_serves(tmp_path: Path, stripes: str, family: str) -> None:
    wanted, test = recipe(tmp_path, family), load_split(stripes, "test")
    split = load_split(stripes, "train")
    train(wanted, split, tmp_path / "runs", weights_file=None, device=torch.device("cpu"))
    model, minutes = trained_model(wanted, 2, tmp_path / "runs")
    artifact = write_evaluated(model, wanted, minutes, split, test, tmp_path / "models" / wanted.name)
    manifest = load_artifact(artifact.folder).manifest
    assert manifest.level_numbers == ((3,) if family == "fixed" else (1, 2, 3))
    assert all(row.temperature > 0 for row in manifest.levels)
    figures = [row.model_dump(exclude={"temperature"}) for row in manifest.levels]
    again = evaluate(artifact, test)
    assert [{key: row[key] for key in figures[0]} for row in again] == figures
    assert all(row["payload_bytes"] <= row["packed_bytes"] and row["top5"] == 1 for row in again)
    assert evaluate_through_server(artifact, test) == figures


@pytest.mark.parametrize("family", ["nested", "progressive"])
def test_levels_can_be_trained_one_after_the_other(tmp_path: Path, stripes: str, family: str) -> None:
    """Alg. 1 and 2 as the paper states them: every level so far is decoded in each step."""
    wanted = recipe(tmp_path, family, more='order = "level by level"\ndecoded = "all"\n')
    wanted = Recipe.model_validate(
        {**wanted.model_dump(), "codebook": {**wanted.codebook.model_dump(), "eta": 0.5 if family == "nested" else 0}}
    )
    model = trained(wanted, stripes, tmp_path / "runs")
    assert sorted(p.name for p in (tmp_path / "runs").glob(f"tiny-{family}*")) == [
        f"tiny-{family}-1.pt", f"tiny-{family}-2.pt", f"tiny-{family}.pt",
    ]  # fmt: skip
    table, _ = model.codebook.table()
    assert bool((table.detach().norm(dim=-1) > 0).all())


def test_mixed_resolution_has_every_budget_and_stays_at_home(tmp_path: Path, stripes: str) -> None:
    model = trained(recipe(tmp_path, "mixed"), stripes, tmp_path / "runs")
    allocations = model.allocations()
    assert [sum(a) for a in allocations] == list(range(4, 13))
    pictures = torch.rand(3, 3, 32, 32)
    assert all(model(pictures, a).shape == (3, 2) for a in allocations)
    with pytest.raises(RecipeError, match="mixed-resolution model is not exported"):
        export_files(model)


def test_without_a_bottleneck_the_start_is_exact() -> None:
    torch.manual_seed(0)
    network = SplitNetwork(NetworkRecipe(weights="random", latent_channels=0, cut=7), 32, 10, None)
    pictures = torch.rand(64, 3, 32, 32)
    network.start_from(pictures)
    network.eval()
    through = network.widen(network.encode(pictures))
    torch.testing.assert_close(through, network.trunk_edge(pictures), atol=1e-2, rtol=1e-2)


def test_normalisation_over_the_batch_is_not_exported(tmp_path: Path, stripes: str) -> None:
    wanted = recipe(tmp_path, "progressive")
    values = wanted.model_dump()
    values["network"]["norm"] = "whole batch"
    model = trained(Recipe.model_validate(values), stripes, tmp_path / "runs")
    pictures = torch.rand(4, 3, 32, 32) * torch.tensor([0.1, 0.3, 0.9, 1.0]).view(4, 1, 1, 1)
    encode = model.network.encode
    assert not torch.allclose(encode(pictures)[:2], encode(pictures[:2]))
    with pytest.raises(RecipeError, match="answers differently in other company"):
        export_files(model)


def test_a_time_budget_ends_a_stage_early(tmp_path: Path, stripes: str) -> None:
    runs = tmp_path / "runs"
    trained(recipe(tmp_path, "progressive", epochs=200, more="minutes = 0.02\n"), stripes, runs) if False else None
    wanted = recipe(tmp_path, "progressive", more="minutes = 0.001\n")
    values = wanted.model_dump()
    values["stage3"]["epochs"] = 100_000
    trained(Recipe.model_validate(values), stripes, runs)
    assert load_checkpoint(runs / "tiny-progressive.pt", Recipe.model_validate(values).key())["epoch"] == 1  # type: ignore[index]


def test_the_rate_rises_and_falls_once() -> None:
    rates = [one_cycle(p / 100) for p in range(101)]
    peak = rates.index(max(rates))
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert max(rates) == pytest.approx(1)
    assert rates[-1] == pytest.approx(0)


def test_training_goes_on_where_it_stopped(tmp_path: Path, stripes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped after each checkpoint and resumed, it ends with the weights of an uninterrupted run's length."""
    import training.loop

    wanted, split = recipe(tmp_path, "progressive", epochs=2), load_split(stripes, "train")

    def save_and_stop(path: Path, key: str, state: dict[str, object]) -> None:
        save_checkpoint(path, key, state)
        raise KeyboardInterrupt

    runs, stops = tmp_path / "runs", 0
    monkeypatch.setattr(training.loop, "save_checkpoint", save_and_stop)
    while True:
        try:
            train(wanted, split, runs, weights_file=None, device=torch.device("cpu"))
            break
        except KeyboardInterrupt:
            stops += 1
            if stops < 4:
                with pytest.raises(TrainingError):
                    trained_model(wanted, 2, runs)
    assert stops == 4
    trained_model(wanted, 2, runs)


def test_a_loss_that_is_not_a_number_stops_the_training(tmp_path: Path, stripes: str) -> None:
    wanted = recipe(tmp_path, "progressive", rate="1e30")
    with pytest.raises(TrainingError, match=r"The loss is (nan|inf) in epoch 1, step \d+; .*there is no checkpoint of"):
        train(wanted, load_split(stripes, "train"), tmp_path, weights_file=None, device=torch.device("cpu"))


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.pt", "one", {"epoch": 1})
    with pytest.raises(CheckpointError, match="made by another recipe"):
        load_checkpoint(tmp_path / "a.pt", "other")
    (tmp_path / "a.pt").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="is damaged"):
        load_checkpoint(tmp_path / "a.pt", "one")


def test_views_of_other_pictures_are_refused(tmp_path: Path, stripes: str) -> None:
    wanted, split = recipe(tmp_path, "fixed"), load_split(stripes, "train")
    runs, device = tmp_path / "runs", torch.device("cpu")
    made = make_views(wanted, split, runs, None, device)
    assert made.pictures.shape == (6, 84, 3, 32, 32) and made.held_pictures.shape == (12, 3, 32, 32)
    assert torch.equal(make_views(wanted, split, runs, None, device).pictures, made.pictures)
    with pytest.raises(CheckpointError, match="were made of other pictures; delete the file"):
        make_views(wanted, split.subset(np.arange(50)), runs, None, device)


def test_every_use_of_a_view_looks_a_little_different(tmp_path: Path, stripes: str) -> None:
    views = make_views(recipe(tmp_path, "fixed"), load_split(stripes, "train"), tmp_path, None, torch.device("cpu"))
    rows = torch.arange(8)
    one, other = (views.batch(rows, 0).pictures for _ in range(2))
    assert one.shape == (8, 3, 32, 32) and float(one.min()) >= 0 and float(one.max()) <= 1
    assert not torch.equal(one, other)
    assert torch.equal(views.batch(rows, 0).labels, views.labels[:8])


def test_on_a_full_disk_the_old_checkpoint_stays_whole(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.pt", "one", {"epoch": 1})
    with disk_of(50_000), pytest.raises(CheckpointError, match=r"could not be written .*free some space"):
        save_checkpoint(tmp_path / "a.pt", "one", {"epoch": 2, "weights": torch.zeros(100_000)})
    assert load_checkpoint(tmp_path / "a.pt", "one") == {"epoch": 1}


def test_other_classes_than_the_artifacts_are_noticed(stripes: str) -> None:
    with pytest.raises(DataError, match="2 classes are not the 10 that"):
        evaluate(load_artifact(MODEL), load_split(stripes, "test"))


def test_unfolding_batch_norms_keeps_the_function() -> None:
    torch.manual_seed(0)
    network = SplitNetwork(NetworkRecipe(weights="random"), 64, 10, None).trunk_edge
    pictures = torch.rand(16, 3, 64, 64)
    before = network.eval()(pictures)
    unfold_batch_norms(network, pictures)
    torch.testing.assert_close(network(pictures), before, atol=1e-4, rtol=1e-3)
