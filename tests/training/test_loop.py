"""A whole training, small: real pictures made here, two classes, random weights, one pass per stage."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import training.loop
from artoveq.evaluation import evaluate, evaluate_through_server
from artoveq.exporting import export_measured
from benchmarks.service.measure import disk_of
from tests.conftest import MODEL
from tests.seams.toy_backbone import ThreeLayers
from tests.training.stripes import recipe, write_stripes
from training.backbones import BACKBONES
from training.checkpoint import load_checkpoint, save_checkpoint
from training.data import load_split
from training.export import export_files
from training.loop import one_cycle
from training.losses import decoded_points, quantised_loss, task_loss
from training.model import RateModel
from training.network import SplitNetwork, unfold_batch_norms
from training.prepare import make_views
from training.recipe import Recipe, checked_recipe
from training.stages import train, trained_model
from wire.artifact import load_artifact
from wire.exceptions import CheckpointError, DataError, RecipeError, TrainingError

pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("ignore")]  # of torch's exporter

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKBONES, "three layers", ThreeLayers())


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_stripes(tmp_path_factory.mktemp("stripes"))


def changed(recipe: Recipe, **changes: dict[str, Any] | int | str) -> Recipe:
    """The recipe with some values of its sections, or some of its own, put in place."""
    values = recipe.model_dump()
    for key, change in changes.items():
        values[key] = {**values[key], **change} if isinstance(change, dict) else change
    return checked_recipe(values, "changed")


def trained(wanted: Recipe, data: str, runs: Path) -> RateModel:
    train(wanted, load_split(data, "train"), runs, weights_file=None, device=CPU)
    return trained_model(wanted, 2, runs)[0]


@pytest.mark.parametrize(
    ("family", "planes", "points"),
    [("progressive", 24, 26), ("fixed", 0, 1), ("mixed", 0, 10), ("rate-adaptive", 0, 7)],
)
def test_a_trained_recipe_becomes_an_artifact_that_serves(
    tmp_path: Path, stripes: str, family: str, planes: int, points: int
) -> None:
    wanted, test = recipe(tmp_path, family), load_split(stripes, "test")
    if family == "mixed":
        wanted = changed(wanted, codebook={"segments": 4, "least": 3})
    if family == "rate-adaptive":
        wanted = changed(wanted, codebook={"segments": 1}, stage3={"decoded": "any size"})
    split = load_split(stripes, "train")
    train(wanted, split, tmp_path / "runs", weights_file=None, device=CPU)
    artifact = export_measured(wanted, tmp_path / "runs", split, test, tmp_path / "models" / wanted.name)
    manifest = load_artifact(artifact.folder).manifest
    assert len(manifest.planes) == planes
    assert planes <= len(manifest.points) <= points  # beside the planes' those whole levels that are no prefix
    figures = {n: (point.payload_bytes, point.metric) for n, point in enumerate(manifest.points, 1)}
    assert {row["point"]: (row["payload_bytes"], row["top1"]) for row in evaluate(artifact, test)} == figures
    through_server = evaluate_through_server(artifact, test)
    assert {row["point"]: row["top1"] for row in through_server} == {n: metric for n, (_, metric) in figures.items()}


@pytest.mark.parametrize(("family", "sizes"), [("nested", (2, 4)), ("progressive", (2, 4)), ("fixed", ())])
def test_sizes_can_be_trained_one_after_the_other(
    tmp_path: Path, stripes: str, family: str, sizes: tuple[int, ...]
) -> None:
    """Alg. 1 and 2 as the paper states them: every size so far is decoded in each step."""
    wanted = recipe(tmp_path, family, more='order = "level by level"\ndecoded = "all"\n')
    wanted = changed(wanted, codebook={"eta": 0.5 if family == "nested" else 0})
    model = trained(wanted, stripes, tmp_path / "runs")
    names = [*(f"tiny-{family}-{size}.pt" for size in sizes), f"tiny-{family}.pt"]
    assert sorted(p.name for p in (tmp_path / "runs").glob(f"tiny-{family}*")) == names
    table, _ = model.codebook.table()
    assert bool((table.detach().norm(dim=-1) > 0).all())


def test_mixed_resolution_has_every_budget(tmp_path: Path, stripes: str) -> None:
    wanted = changed(recipe(tmp_path, "mixed"), codebook={"segments": 8, "least": 4}, stage3={"decoded": "skewed"})
    model = trained(wanted, stripes, tmp_path / "runs")
    points = model.codebook.points()
    assert [math.prod(p) for p in points] == [2**bits for bits in range(4, 25)]
    pictures = torch.rand(3, 3, 32, 32)
    assert all(model(pictures, p).shape == (3, 2) for p in points)


def test_points_are_decoded_as_the_recipe_says(tmp_path: Path) -> None:
    def drawn(decoded: str) -> list[tuple[int, ...]]:
        torch.manual_seed(0)
        model = RateModel(changed(recipe(tmp_path, "progressive"), stage3={"decoded": decoded}), 2, None)
        found = [decoded_points(model, 8) for _ in range(600)]
        assert all(points[0] == (8,) * 8 and len(points) == (3 if decoded == "all" else 2) for points in found)
        return [points[1] for points in found]

    lowest, lower = (2,) * 8, (4,) * 8
    assert set(drawn("all")) == {lower}  # and the lowest after it
    assert drawn("sandwich").count(lowest) == pytest.approx(600 * 3 / 4, abs=40)
    assert drawn("skewed").count(lowest) == pytest.approx(600 * 0.5**0.5, abs=40)


def test_prefixes_of_the_chain_are_trained_and_become_its_planes(tmp_path: Path, stripes: str) -> None:
    wanted = changed(recipe(tmp_path, "progressive"), stage3={"decoded": "chain"})
    split, test = load_split(stripes, "train"), load_split(stripes, "test")
    train(wanted, split, tmp_path / "runs", weights_file=None, device=CPU)
    model, _ = trained_model(wanted, 2, tmp_path / "runs")
    prefixes = model.codebook.prefixes()
    torch.manual_seed(0)
    steps = [decoded_points(model, 8) for _ in range(400)]
    assert all(points[0] == (8,) * 8 and len(points) == 9 for points in steps)
    lengths = np.array([prefixes.index(point) + 1 for points in steps for point in points[1:]])
    assert (lengths.min(), lengths.max()) == (1, 23)
    assert np.mean(lengths <= 8) == pytest.approx(math.log(9) / math.log(24), abs=0.02)
    manifest = export_measured(wanted, tmp_path / "runs", split, test, tmp_path / "models" / "chain").manifest
    assert [manifest.point(point).sizes for point in manifest.chain] == prefixes


def test_any_size_is_trained_at_sizes_and_points_that_the_pictures_share(tmp_path: Path, stripes: str) -> None:
    wanted = changed(recipe(tmp_path, "rate-adaptive"), codebook={"segments": 8}, stage3={"decoded": "any size"})
    model = trained(wanted, stripes, tmp_path / "runs")
    pictures = torch.rand(3, 3, 32, 32)
    assert all(model(pictures, (size,) * 8).shape == (3, 2) for size in range(1, 9))
    torch.manual_seed(0)
    steps = [decoded_points(model, 8) for _ in range(300)]
    assert all(points[0] == (8,) * 8 and points[2] == (2,) * 8 for points in steps)
    sizes = Counter(points[1] for points in steps)
    assert set(sizes) == {(size,) * 8 for size in range(2, 8)}
    assert sizes[(4,) * 8] > sizes[(5,) * 8] + sizes[(6,) * 8] + sizes[(7,) * 8]
    drawn = [model.codebook.bits(point) for points in steps for point in points[3:]]
    assert min(drawn) == 1 and len(set(drawn)) > 50
    assert np.log2(drawn).mean() == pytest.approx(np.log2(24) / 2, abs=0.2)


def test_lower_points_that_share_the_pictures_lose_for_their_share(tmp_path: Path, stripes: str) -> None:
    """A lower point of all pictures, and three of half of them each, weigh as much as two and a half."""
    wanted = changed(recipe(tmp_path, "rate-adaptive"), codebook={"segments": 8}, stage3={"decoded": "any size"})
    torch.manual_seed(0)
    model = RateModel(wanted, 2, None).eval()
    views = make_views(wanted, load_split(stripes, "train"), tmp_path, {}, CPU)
    batch = views.batch(torch.arange(8), 0)
    with torch.no_grad():  # of a table of zeros every size is the same
        loss, x = quantised_loss(model, batch, 8), model.sub_vectors_of(batch.pictures)
        output = model.decode(torch.zeros_like(x))
        task = task_loss(model, output, batch)
        first = task_loss(model, output[:4], batch.part(slice(4)))
    lower = task + task + 0.5 * first
    torch.testing.assert_close(loss, task + 0.5 * lower + 1.25 * x.square().mean())


@pytest.mark.parametrize("pictures", [7, 3])
def test_a_batch_that_is_larger_than_the_data_set_is_all_of_it(tmp_path: Path, stripes: str, pictures: int) -> None:
    """Of 7 none is held out, and none makes a batch of 8."""
    split = load_split(stripes, "train")
    few = split.subset(np.linspace(0, len(split) - 1, pictures).astype(int))
    wanted = recipe(tmp_path, "progressive")
    train(wanted, few, tmp_path / "runs", weights_file=None, device=CPU)
    trained_model(wanted, 2, tmp_path / "runs")
    with pytest.raises(DataError, match="There is one training picture"):
        train(wanted, few.subset(np.array([0])), tmp_path / "one", weights_file=None, device=CPU)


def test_without_a_bottleneck_the_start_is_exact(tmp_path: Path) -> None:
    torch.manual_seed(0)
    wanted = changed(recipe(tmp_path, "nested"), network={"backbone": "mobilenet_v2", "latent_channels": 0, "cut": 7})
    network = SplitNetwork(wanted, 10, None)
    pictures = torch.rand(64, 3, 32, 32)
    network.initialise_from_pca(pictures)
    network.eval()
    through = network.expand(network.encode(pictures))
    torch.testing.assert_close(through, network.trunk_edge(pictures), atol=1e-2, rtol=1e-2)


def test_normalisation_over_the_batch_is_not_exported(tmp_path: Path, stripes: str) -> None:
    wanted = changed(recipe(tmp_path, "progressive"), network={"norm": "whole batch"})
    model = trained(wanted, stripes, tmp_path / "runs")
    pictures = torch.rand(4, 3, 32, 32) * torch.tensor([0.1, 0.3, 0.9, 1.0]).view(4, 1, 1, 1)
    encode = model.network.encode
    assert not torch.allclose(encode(pictures)[:2], encode(pictures[:2]))
    with pytest.raises(RecipeError, match="answers differently in other company"):
        export_files(model)


def test_a_time_budget_ends_a_stage_early(tmp_path: Path, stripes: str) -> None:
    wanted = changed(recipe(tmp_path, "progressive"), stage3={"epochs": 100_000, "minutes": 0.001})
    trained(wanted, stripes, tmp_path / "runs")
    state = load_checkpoint(tmp_path / "runs" / "tiny-progressive.pt", wanted.key())
    assert state is not None and state["done"] and state["epoch"] == 1


def test_the_rate_rises_and_falls_once() -> None:
    rates = [one_cycle(p / 100) for p in range(101)]
    peak = rates.index(max(rates))
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert max(rates) == pytest.approx(1)
    assert rates[-1] == pytest.approx(0)


@pytest.mark.parametrize("order", ["joint", "level by level"])
def test_training_goes_on_where_it_stopped(
    tmp_path: Path, stripes: str, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after each checkpoint and resumed, it ends with the very weights of an uninterrupted run."""
    wanted = changed(recipe(tmp_path, "nested", epochs=2), codebook={"max_level": 2}, stage3={"order": order})
    whole = trained(wanted, stripes, tmp_path / "whole").state_dict()
    split, runs, stops = load_split(stripes, "train"), tmp_path / "runs", 0

    def save_and_stop(path: Path, key: str, state: dict[str, object]) -> None:
        save_checkpoint(path, key, state)
        raise KeyboardInterrupt

    monkeypatch.setattr(training.loop, "save_checkpoint", save_and_stop)
    while True:
        try:
            train(wanted, split, runs, weights_file=None, device=CPU)
            break
        except KeyboardInterrupt:
            stops += 1
            unfinished = 4 if order == "joint" else 6
            if stops < unfinished:
                with pytest.raises(TrainingError):
                    trained_model(wanted, 2, runs)
    assert stops == unfinished
    resumed = trained_model(wanted, 2, runs)[0].state_dict()
    assert resumed.keys() == whole.keys()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_the_loss_that_is_shown_is_the_mean_over_the_steps(
    tmp_path: Path, stripes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([1.0, *[2.0] * 9, *[5.0] * 10])  # 84 pictures in batches of 8 are ten steps
    monkeypatch.setattr(training.loop.StageRun, "_step", lambda *_: next(losses))
    with training.loop.console.capture() as shown:
        train(recipe(tmp_path, "fixed"), load_split(stripes, "train"), tmp_path, weights_file=None, device=CPU)
    assert "loss 1.900" in shown.get() and "loss 5.000" in shown.get()


def test_a_loss_that_is_not_a_number_stops_the_training(tmp_path: Path, stripes: str) -> None:
    wanted = recipe(tmp_path, "progressive", rate="1e30")
    with pytest.raises(TrainingError, match=r"The loss is (nan|inf) in epoch 1, step \d+; .*there is no checkpoint of"):
        train(wanted, load_split(stripes, "train"), tmp_path, weights_file=None, device=CPU)


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.pt", "one", {"epoch": 1})
    with pytest.raises(CheckpointError, match="made by another recipe"):
        load_checkpoint(tmp_path / "a.pt", "other")
    (tmp_path / "a.pt").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="is damaged"):
        load_checkpoint(tmp_path / "a.pt", "one")


def test_views_of_other_pictures_are_refused(tmp_path: Path, stripes: str) -> None:
    wanted, split = recipe(tmp_path, "fixed"), load_split(stripes, "train")
    runs, device = tmp_path / "runs", CPU
    made = make_views(wanted, split, runs, {}, device)
    assert made.pictures.shape == (6, 84, 3, 32, 32) and made.held_pictures.shape == (12, 3, 32, 32)
    assert torch.equal(make_views(wanted, split, runs, {}, device).pictures, made.pictures)
    with pytest.raises(CheckpointError, match="were made of other pictures; delete the file"):
        make_views(wanted, split.subset(np.arange(50)), runs, {}, device)


def test_every_use_of_a_view_looks_a_little_different(tmp_path: Path, stripes: str) -> None:
    views = make_views(recipe(tmp_path, "fixed"), load_split(stripes, "train"), tmp_path, {}, CPU)
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


def test_unfolding_batch_norms_keeps_the_function(tmp_path: Path) -> None:
    torch.manual_seed(0)
    wanted = changed(recipe(tmp_path, "nested"), network={"backbone": "mobilenet_v2", "cut": 8})
    network = SplitNetwork(wanted, 10, None).trunk_edge
    pictures = torch.rand(16, 3, 32, 32)
    before = network.eval()(pictures)
    unfold_batch_norms(network, pictures)
    torch.testing.assert_close(network(pictures), before, atol=1e-4, rtol=1e-3)
