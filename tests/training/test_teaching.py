"""A server half that goes on where its teacher's would: the teacher's features at the cut, of a larger view."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.test_local_head import pictures_of
from training.backbones import BACKBONES
from training.kept import KeptViews
from training.losses import unexplained, unquantised_loss
from training.mixing import cut_mixed
from training.model import RateModel
from training.prepare import make_views
from training.recipe import Recipe, checked_recipe
from training.views import Batch
from wire.exceptions import RecipeError

CPU = torch.device("cpu")
LITE = "efficientnet-lite2"
STAGE = {"epochs": 1, "pretrained_rate": 1e-3, "new_rate": 1e-3}


def recipe(**changes: Any) -> Recipe:
    values: dict[str, Any] = {
        "name": "taught", "dataset": "colours", "picture": 64, "batch": 4, "views": 2, "hold_out_every": 5,
        "network": {"backbone": LITE, "frozen": 2, "skipped": [4, 6, 7]},
        "codebook": {"family": "progressive"}, "teacher": {"view": 96, "features": 0.5},
        "stage1": STAGE, "stage3": STAGE,
    }  # fmt: skip
    return checked_recipe({**values, **changes}, "taught")


def test_what_is_unexplained_is_a_share_of_the_variance() -> None:
    torch.manual_seed(0)
    target = torch.randn(8, 3, 4, 4) * torch.tensor([1.0, 2, 3])[:, None, None] + 5
    assert float(unexplained(target, target)) == 0
    mean = target.mean((0, 2, 3), keepdim=True).expand_as(target)
    assert float(unexplained(mean, target)) == pytest.approx(1)
    assert float(unexplained((mean + target) / 2, target)) == pytest.approx(0.25)


@pytest.mark.training
@torch.compiler.set_stance("force_eager")  # a few pictures are no reason to compile the teacher
def test_the_teachers_features_at_the_cut_are_kept_of_the_same_views(tmp_path: Path) -> None:
    weights = BACKBONES[LITE].pretrained(None)
    wanted = recipe(teacher={"view": 64, "features": 0.5}, network={"backbone": LITE, "frozen": 2})
    views = make_views(wanted, pictures_of(15, 0), tmp_path, {LITE: weights}, CPU)
    assert isinstance(views, KeptViews)
    batch = views.batch(torch.arange(12), 1)
    assert batch.teacher_middle is not None and batch.teacher_middle.shape == (12, 88, 4, 4)
    model = RateModel(wanted, 3, weights).eval()
    with torch.no_grad():  # mirrored and relit alike: the rest of the edge half finds the same
        assert float(unexplained(model.network.trunk_edge(batch.pictures), batch.teacher_middle)) < 0.01
    again = make_views(wanted, pictures_of(15, 0), tmp_path, {LITE: weights}, CPU)
    assert isinstance(again, KeptViews) and torch.equal(again.middles[1], views.middles[1])
    assert cut_mixed(batch, 3).teacher_middle is None


def test_the_server_half_has_the_teachers_grid_and_is_given_what_it_has_at_the_cut() -> None:
    torch.manual_seed(0)
    model = RateModel(recipe(), 3, None).eval()
    kept, target = torch.rand(4, 24, 16, 16), torch.rand(4, 88, 6, 6)
    assert model.network.latent_shape == (16, 4, 4)
    plain, taught = (Batch(kept, torch.tensor([0, 1, 2, 0]), kept=True, teacher_middle=m) for m in (None, target))
    with torch.no_grad():
        given = model.network.given(model.network.encode(kept, kept=True))
        added = float(unquantised_loss(model, taught) - unquantised_loss(model, plain))
        assert added == pytest.approx(0.5 * float(unexplained(given, target)), rel=1e-3)
        model.network.initialise_from_pca(kept, target)
        model.eval()
        given = model.network.given(model.network.encode(kept, kept=True))
        assert float(unexplained(given, target)) < 1  # the best that is linear is better than the mean


def test_recipes_without_it_have_the_keys_they_had() -> None:
    plain = recipe(teacher={"view": 96}, network={"backbone": LITE, "frozen": 2})
    assert "features" not in plain.model_dump()["teacher"] and "skipped" not in plain.model_dump()["network"]
    assert RateModel(plain, 3, None).network.enlarge(torch.zeros(1, 16, 4, 4)).shape == (1, 16, 4, 4)


@pytest.mark.parametrize(
    "changes",
    [{"teacher": {"features": 1, "network": "mobilenet_v2"}}, {"network": {"backbone": LITE}},
     {"network": {"backbone": LITE, "frozen": 2, "upsampled": 96}}],
)  # fmt: skip
def test_features_that_no_teacher_has(changes: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"teacher\.features are those of the recipe's own backbone"):
        recipe(**changes)
