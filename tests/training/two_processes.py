"""What torchrun runs in each of two processes: python -m tests.training.two_processes DATA RECIPE FOLDER."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch

import training.loop
from tests.seams.toy_backbone import ThreeLayers
from training import processes
from training.backbones import BACKBONES
from training.checkpoint import save_checkpoint
from training.data import load_split
from training.losses import unquantised_loss
from training.model import RateModel
from training.recipe import Recipe, read_recipe
from training.stages import train
from training.views import Batch


def batch_of(count: int) -> Batch:
    generator = torch.Generator().manual_seed(1)
    return Batch(torch.rand(count, 3, 32, 32, generator=generator), torch.arange(count) % 2)


def one_step(recipe: Recipe, rows: torch.Tensor) -> dict[str, torch.Tensor]:
    """Gradients and statistics after the unquantised loss of seven pictures, of which this process has `rows`."""
    torch.manual_seed(0 if processes.is_first() else 5)  # the first one's weights are taken
    model, batch = RateModel(recipe, 2, None), batch_of(7)
    loss_of = processes.averaged_loss(model.network, lambda part: unquantised_loss(model, part), 7)
    mine = Batch(batch.pictures[rows], batch.labels[rows])
    loss_of(mine, len(rows)).backward()
    gradients = {name: one.grad for name, one in model.network.named_parameters() if one.grad is not None}
    return {**gradients, **dict(model.network.named_buffers())}


def main(data: str, recipe_file: str, folder: Path) -> None:
    def save_and_keep(path: Path, key: str, state: dict[str, object]) -> None:
        save_checkpoint(path, key, state)
        shutil.copy(path, folder / f"{path.stem}-after-{state['epoch']}")

    with processes.joined() as device:
        wanted, split = read_recipe(Path(recipe_file)), load_split(data, "train")
        found = one_step(wanted, processes.share(torch.arange(7)))
        if processes.is_first():
            torch.save(found, folder / "step.pt")
        training.loop.save_checkpoint = save_and_keep
        for runs in ("runs", "resumed"):
            train(wanted, split, folder / runs, weights_file=None, device=device)


if __name__ == "__main__":
    BACKBONES["three layers"] = ThreeLayers()
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
