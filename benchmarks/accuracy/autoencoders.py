"""Trains and measures the rows of `reconstruction.py`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn

from benchmarks.accuracy.reconstruction import ADAPTIVE, EQUAL, FIXED_LEVELS, FRECHET, NETWORK, RANDOM, ROWS
from benchmarks.accuracy.rerun import test_batches
from training.backbones import BACKBONES
from training.codebooks.ops import nearest, pick
from training.data import Split
from training.export import hardware
from training.model import RateModel
from training.prepare import make_views
from training.quality import frechet_distance, psnr, ssim
from training.recipe import Recipe, checked_recipe, read_recipe
from training.scores import perplexity
from training.stages import train_on, trained_model
from training.views import Batch

RECIPE = Path(__file__).parent.parent.parent / "training" / "recipes" / "cifar100-vqvae-rate-adaptive.toml"
SHARE = 3
"""Of the recipe's epochs after stage 1, other rows have one in so many."""
SIDE = 64
"""That pictures are scaled to before the network whose features are compared sees them."""
console = Console(stderr=True)


def recipe_of(row: str) -> Recipe:
    """The recipe of a row that is trained."""
    base = read_recipe(RECIPE)
    if row == ADAPTIVE:
        return base
    values = base.model_dump(mode="json", exclude_none=True)
    values["name"] = f"{base.dataset}-vqvae-{row}"
    values["stage3"]["epochs"] = max(1, base.stage3.epochs // SHARE)
    if row == EQUAL:
        return checked_recipe(values, row)
    values["codebook"] |= {"family": "fixed", "max_level": int(row.removeprefix("fixed-"))}
    values["stage3"]["decoded"] = "sandwich"
    return checked_recipe(values, row)


def run(rows: Sequence[str], train: Split, test: Split, runs: Path, weights: str | None) -> dict[str, Any]:
    """Trains the rows, or goes on where they stopped, and measures each at its sizes on the test pictures."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    base = read_recipe(RECIPE)
    views = make_views(base, train, runs, {}, device)
    batches = test_batches(test, base.picture, device)
    features = Features(weights, device)
    originals = features.of(batch.pictures for batch in batches)
    found: list[dict[str, Any]] = []
    trained = {}
    for row in rows:
        recipe = recipe_of(row)
        model = train_on(recipe, views, len(train.classes), runs, None)
        minutes = round(trained_model(recipe, len(train.classes), runs)[1], 1)
        trained[row] = {"recipe": recipe.key(), "minutes": minutes, "hardware": hardware()}
        for size in model.codebook.sizes:
            found.append({"row": row, "size": size, **measure(model, size, batches, features, originals)})
            console.print(found[-1])
    if (largest := f"fixed-{FIXED_LEVELS[-1]}") in rows:
        model, _ = trained_model(recipe_of(largest), len(train.classes), runs)
        words = model.to(device).codebook.table()[0][:, 1:]
        for size in trained_sizes():
            model.codebook = random_rows(words, size)  # type: ignore[assignment]
            found.append({"row": RANDOM, "size": size, **measure(model, size, batches, features, originals)})
    return {
        "pictures": len(test),
        "trained": trained,
        "features": {"network": NETWORK, "side": SIDE},
        "rows": found,
    }


def recipe_keys() -> dict[str, str]:
    """Of every row that is trained: what tells its recipe as it is now from one that has changed since."""
    return {row: recipe_of(row).key() for row in ROWS}


def trained_sizes() -> list[int]:
    """Powers of two that the recipe's table has: its smallest size to its largest."""
    codebook = read_recipe(RECIPE).codebook
    return [2**level for level in range(codebook.least or 1, codebook.max_level + 1)]


@torch.no_grad()
def measure(
    model: RateModel, size: int, batches: Sequence[Batch], features: Features, originals: Tensor
) -> dict[str, float]:
    """At one size: mean PSNR (dB) and SSIM, the codewords' perplexity, the Fréchet distance to the originals."""
    model.eval()
    sizes = torch.full((model.codebook.segments[0],), size, device=originals.device)
    totals, indices, made, count = [0.0, 0.0], [], [], 0
    for batch in batches:
        x = model.sub_vectors_of(batch.pictures)
        pictures = model.decode(model.codebook.quantise(x, [size])[size]).clamp(0, 1)
        totals[0] += float(psnr(pictures, batch.pictures).sum())
        totals[1] += float(ssim(pictures, batch.pictures).sum())
        indices.append(model.codebook.encode(x, sizes))
        made.append(features.of([pictures]))
        count += len(pictures)
    return {
        "psnr": round(totals[0] / count, 4),
        "ssim": round(totals[1] / count, 5),
        "perplexity": perplexity(torch.cat(indices).cpu().numpy()),
        FRECHET: round(frechet_distance(torch.cat(made), originals), 3),
    }


class Features:
    """The pooled features of the ImageNet MobileNetV2, of pictures scaled to `SIDE`."""

    def __init__(self, weights: str | None, device: torch.device) -> None:
        backbone = BACKBONES[NETWORK]
        self._network: nn.Module = backbone.uncut(backbone.pretrained(weights)).eval().to(device)

    @torch.no_grad()
    def of(self, batches: Sequence[Tensor] | Iterator[Tensor]) -> Tensor:
        """Pictures in 0..1, in batches (B, 3, S, S), to (N, F)."""
        scaled = (nn.functional.interpolate(one, size=SIDE, mode="bilinear", antialias=True) for one in batches)
        return torch.cat([self._network(one) for one in scaled])


def random_rows(words: Tensor, size: int) -> _Rows:
    """A codebook of `size` of these codewords (G, K, d), drawn at random: RAQ's floor."""
    chosen = torch.randperm(words.shape[1], generator=torch.Generator().manual_seed(0))[:size].to(words.device)
    return _Rows(words[:, chosen])


class _Rows(nn.Module):
    """What `measure` asks of a codebook."""

    def __init__(self, words: Tensor) -> None:
        super().__init__()
        self.words, self.segments = words, (words.shape[0],)

    def encode(self, x: Tensor, sizes: Tensor) -> Tensor:
        return nearest(x, self.words)

    def quantise(self, x: Tensor, sizes: Sequence[int]) -> dict[int, Tensor]:
        return {size: pick(self.words, self.encode(x, torch.tensor(sizes))) for size in sizes}
