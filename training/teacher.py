"""The teacher: the uncut pretrained network on a larger view, with a linear head fitted to the data set."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from rich.progress import track
from torch import Tensor, nn
from torchvision.models import mobilenet_v2

from training.data import Resident
from training.network import Normalise
from training.recipe import TeacherRecipe

FIT_STEPS = 100
RIDGE = 1e-3


class Teacher(nn.Module):
    """Pictures in 0..1 at the teacher's view to logits; its features never change."""

    def __init__(self, weights: dict[str, Tensor], classes: int) -> None:
        super().__init__()
        trunk = mobilenet_v2()
        trunk.load_state_dict(weights)
        self.features = nn.Sequential(Normalise(), *trunk.features, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(trunk.last_channel, classes)
        self.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def forward(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(pictures))
        return logits

    def fit(self, data: Resident, recipe: TeacherRecipe, crop: tuple[float, float], batch: int = 64) -> None:
        """Ridge-regularised logistic regression on the features of one plain and two random views."""
        features, labels = [], []
        for how in (None, crop, crop):
            for rows in track(
                torch.arange(len(data.labels), device=data.labels.device).split(batch),
                description="teacher's features",
                transient=True,
            ):
                with torch.no_grad():
                    features.append(self.features(data.views(rows, recipe.view, how)))
                labels.append(data.labels[rows])
        x, y = torch.cat(features), torch.cat(labels)
        self.head.requires_grad_(True)
        nn.init.zeros_(self.head.weight)
        optimiser = torch.optim.LBFGS(self.head.parameters(), max_iter=FIT_STEPS, line_search_fn="strong_wolfe")

        def objective() -> Tensor:
            optimiser.zero_grad()
            loss = F.cross_entropy(self.head(x), y) + RIDGE * self.head.weight.square().sum()
            loss.backward()
            return loss

        optimiser.step(objective)  # type: ignore[arg-type]
        self.head.requires_grad_(False)
