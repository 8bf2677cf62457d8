"""The teacher: the uncut pretrained network on a larger view, with a linear head fitted to the data set."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.backbones import BACKBONES
from training.recipe import Recipe

BATCH = 64
FIT_STEPS = 100
RIDGE = 1e-3


class Teacher:
    """Features that never change, and a linear head on them. Compiled: it sees every view of every picture.

    weights: of its backbone, pretrained.
    """

    def __init__(self, recipe: Recipe, weights: dict[str, Tensor], device: torch.device) -> None:
        assert recipe.teaches is not None
        backbone = BACKBONES[recipe.teaches]
        halves: tuple[nn.Module, nn.Module] = nn.Identity(), backbone.uncut(weights)
        if recipe.features:  # then what it has at the cut is wanted, too
            whole = recipe.network.model_copy(update={"skipped": ()})
            halves = backbone.halves(whole, recipe.view, weights)
        for half in halves:
            half.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)
        self._middle, self._features = (torch.compile(half, dynamic=False) for half in halves)

    @torch.inference_mode()
    def middle(self, views: Tensor) -> Tensor:
        """Views in 0..1, (B, 3, S, S), to what it has of them at the cut, (B, C, H, W), or to themselves."""
        found: Tensor = self._middle(views.contiguous(memory_format=torch.channels_last))
        return found

    @torch.inference_mode()
    def features(self, views: Tensor) -> Tensor:
        """Views in 0..1, (B, 3, S, S), to (B, F); always of one B, for which it is compiled."""
        return self.of_middle(self.middle(views))

    @torch.inference_mode()
    def of_middle(self, middle: Tensor) -> Tensor:
        """What `middle` found to (B, F)."""
        found: Tensor = self._features(middle)
        return found.float()


def whole_batches(count: int, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """Rows of `count` pictures in turn, and the same filled up to a whole batch, for which a teacher is compiled."""
    batches = torch.arange(count, device=device).split(BATCH) if count else []
    return [(rows, F.pad(rows, (0, BATCH - len(rows)))) for rows in batches]


def fit_head(features: Tensor, labels: Tensor, classes: int) -> nn.Linear:
    """Ridge-regularised logistic regression on features (N, F)."""
    head = nn.Linear(features.shape[1], classes).to(features.device)
    nn.init.zeros_(head.weight)
    optimiser = torch.optim.LBFGS(head.parameters(), max_iter=FIT_STEPS, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(head(features), labels) + RIDGE * head.weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(objective)
    return head.requires_grad_(False)
