"""Two processes train one model, started by torchrun as a user does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import training.loop
from tests.conftest import ROOT
from tests.seams.toy_backbone import ThreeLayers
from tests.training.stripes import recipe, write_stripes
from tests.training.two_processes import one_step
from training import processes
from training.backbones import BACKBONES
from training.checkpoint import load_checkpoint, save_checkpoint
from training.data import Split, load_split
from training.losses import trained_points
from training.model import RateModel
from training.recipe import Recipe
from training.stages import train, trained_model
from training.views import as_input
from wire.exceptions import TrainingError

pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("ignore")]

CPU = torch.device("cpu")
EPOCHS = 5


@dataclass
class Trained:
    """What two processes left: their runs; `resumed`, begun by one; what they printed."""

    recipe: Recipe
    split: Split
    test: Split
    folder: Path
    said: str


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("two")
    data = write_stripes(folder / "stripes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "three layers", ThreeLayers())
        wanted, split = recipe(folder, "progressive", epochs=EPOCHS), load_split(data, "train")
        _begin(wanted, split, folder / "resumed", patch)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "tests.training.two_processes", data, str(folder / "recipe.toml"), str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180)
    assert run.returncode == 0, run.stderr
    return Trained(wanted, split, load_split(data, "test"), folder, run.stderr)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKBONES, "three layers", ThreeLayers())


def _begin(wanted: Recipe, split: Split, runs: Path, patch: pytest.MonkeyPatch) -> None:
    """One process, which is stopped after its first epoch."""

    def save_and_stop(path: Path, key: str, state: dict[str, object]) -> None:
        save_checkpoint(path, key, state)
        raise KeyboardInterrupt

    patch.setattr(training.loop, "save_checkpoint", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        train(wanted, split, runs, weights_file=None, device=CPU)
    patch.setattr(training.loop, "save_checkpoint", save_checkpoint)


@torch.no_grad()
def accuracy(model: RateModel, test: Split) -> float:
    """Mean over the operating points."""
    middles = [torch.from_numpy(test.picture(i)[4:36, 4:36]) for i in range(len(test))]
    pictures, labels = as_input(torch.stack(middles).permute(0, 3, 1, 2)), torch.from_numpy(test.labels)
    right = [(model(pictures, point).argmax(1) == labels).float().mean() for point in trained_points(model)]
    return float(torch.stack(right).mean())


def test_shares_of_a_batch_make_its_gradient_and_its_statistics(two: Trained) -> None:
    """Seven pictures, four of them in the first process."""
    alone = one_step(two.recipe, torch.arange(7))
    shared = torch.load(two.folder / "step.pt")
    assert shared.keys() == alone.keys()
    for name, value in alone.items():
        torch.testing.assert_close(shared[name], value, atol=1e-5, rtol=1e-4, msg=name)


def test_two_processes_come_to_the_figures_of_one(two: Trained, tmp_path: Path) -> None:
    train(two.recipe, two.split, tmp_path, weights_file=None, device=CPU)
    one, both = (accuracy(trained_model(two.recipe, 2, runs)[0], two.test) for runs in (tmp_path, two.folder / "runs"))
    assert min(one, both) > 0.9
    assert both == pytest.approx(one, abs=0.08)
    name, key = f"{two.recipe.name}.pt", two.recipe.key()
    alone, shared = (load_checkpoint(runs / name, key) for runs in (tmp_path, two.folder / "runs"))
    assert alone is not None and shared is not None and alone.keys() == shared.keys()
    assert {k: v.shape for k, v in alone["average"].items()} == {k: v.shape for k, v in shared["average"].items()}


def test_one_of_them_prints_and_writes(two: Trained) -> None:
    assert two.said.count(f"epoch {EPOCHS}/{EPOCHS}") == 4  # two stages, in each of two runs
    assert two.said.count("resumed after epoch 1") == 1


def test_two_go_on_where_one_stopped(two: Trained) -> None:
    model, _ = trained_model(two.recipe, 2, two.folder / "resumed")
    assert accuracy(model, two.test) > 0.9


def test_one_goes_on_where_two_stopped(two: Trained, tmp_path: Path) -> None:
    stage1 = next((two.folder / "runs").glob("stage1-*.pt"))
    shutil.copy(two.folder / f"{stage1.stem}-after-3", tmp_path / stage1.name)
    with training.loop.console.capture() as shown:
        train(two.recipe, two.split, tmp_path, weights_file=None, device=CPU)
    assert f"resumed after epoch 3 of {EPOCHS}" in shown.get()
    assert accuracy(trained_model(two.recipe, 2, tmp_path)[0], two.test) > 0.9


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.distributed, "is_torchelastic_launched", lambda: True)
    for name, value in (("LOCAL_RANK", "3"), ("LOCAL_WORLD_SIZE", "4")):
        monkeypatch.setenv(name, value)
    sentence = r"4 processes want a GPU each, and this machine has 2; .*--nproc-per-node=2"
    with pytest.raises(TrainingError, match=sentence), processes.joined():
        pass
