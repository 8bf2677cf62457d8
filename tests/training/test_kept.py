"""Frozen blocks behind an enlarged picture, whose features are kept, and what else a training on few cores has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch

import training.kept
import training.loop
from tests.training.test_local_head import COLOURS, pictures_of
from training.backbones import BACKBONES
from training.checkpoint import save_checkpoint
from training.codebooks import build_codebook
from training.data import Resident, hold_out
from training.export import export_files
from training.kept import KeptViews
from training.loop import StageRun
from training.losses import quantised_loss, unquantised_loss
from training.mixing import cut_mixed
from training.model import RateModel
from training.prepare import make_views
from training.recipe import Recipe, checked_recipe
from training.stages import train, train_on, trained_model
from training.views import Batch
from wire.exceptions import CheckpointError
from wire.manifest import ENCODER

pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("ignore")]  # of torch's exporter

CPU = torch.device("cpu")
STAGE = {"epochs": 2, "pretrained_rate": 1e-3, "new_rate": 1e-3}


def recipe(**changes: Any) -> Recipe:
    values: dict[str, Any] = {
        "name": "tiny", "dataset": "colours", "picture": 32, "batch": 4, "views": 2, "hold_out_every": 5,
        "crop": [0.8, 1.1], "shift": 0.1, "cutmix": 0.5, "decay_weights_alone": True,
        "network": {"upsampled": 64, "frozen": 4, "strides": [2, 2, 2, 1, 2, 1], "latent_channels": 6},
        "codebook": {"family": "progressive", "max_level": 2, "planes_a_level": 2},
        "stage1": STAGE, "stage3": {**STAGE, "decoded": "chain", "fade_in": 0.5},
    }  # fmt: skip
    return checked_recipe({**values, **changes}, "tiny")


@pytest.fixture(scope="module")
def weights() -> dict[str, dict[str, torch.Tensor]]:
    """Those that a pretrained network would have: random ones."""
    torch.manual_seed(1)
    from torchvision.models import MobileNetV2

    return {"mobilenet_v2": MobileNetV2().state_dict()}


def test_kept_features_have_the_loss_of_computed_ones(
    tmp_path: Path, weights: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training.kept, "varied", lambda pictures, relit: pictures)
    wanted, split = recipe(crop=[1.0, 1.0], shift=0.0), pictures_of(15, 0)
    views = make_views(wanted, split, tmp_path, weights, CPU)
    assert isinstance(views, KeptViews) and [f.shape for f in views.features] == [(12, 16, 16, 24)] * 2
    torch.manual_seed(0)
    model = RateModel(wanted, 3, weights["mobilenet_v2"]).eval()
    data = Resident.load(hold_out(split, wanted.hold_out_every, wanted.seed)[0], 32, CPU)
    kept = views.batch(torch.arange(12), 1)
    computed = Batch(data.views(torch.arange(12), 32, None), data.labels)
    with torch.no_grad():
        model.network.initialise_from_pca(model.network.stem(computed.pictures))
        model.eval()
        losses = [float(unquantised_loss(model, batch)) for batch in (kept, computed)]
    assert losses[0] == pytest.approx(losses[1], rel=2e-3)


def test_a_training_that_is_stopped_anywhere_goes_on_and_takes_the_small_picture(
    tmp_path: Path, weights: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(BACKBONES["mobilenet_v2"]), "pretrained", lambda self, file: weights["mobilenet_v2"])
    wanted, split, stops = recipe(), pictures_of(15, 0), 0
    train(wanted, split, tmp_path / "whole", weights_file=None, device=CPU)
    whole, _ = trained_model(wanted, 3, tmp_path / "whole")

    def save_and_stop(path: Path, key: str, state: dict[str, object]) -> None:
        save_checkpoint(path, key, state)
        raise KeyboardInterrupt

    for module in (training.kept, training.loop):
        monkeypatch.setattr(module, "save_checkpoint", save_and_stop)
    while True:
        try:
            train(wanted, split, tmp_path / "runs", weights_file=None, device=CPU)
            break
        except KeyboardInterrupt:
            stops += 1
    assert stops == 2 + 2 + 2  # views, and epochs of two stages
    model, _ = trained_model(wanted, 3, tmp_path / "runs")
    assert all(torch.equal(model.state_dict()[name], value) for name, value in whole.state_dict().items())
    stem = weights["mobilenet_v2"]["features.0.0.weight"]
    assert any(torch.equal(stem, p) and not p.requires_grad for p in model.network.stem.parameters())
    assert not any(m.training for m in model.train().network.stem.modules())

    model.eval()
    encoder = ort.InferenceSession(export_files(model)[ENCODER])
    assert encoder.get_inputs()[0].shape[1:] == [32, 32, 3]
    pictures = np.stack([p[4:36, 6:38] for p in pictures_of(8, 1).sources])
    with torch.no_grad():
        x = model.sub_vectors_of(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255)
        ours = model.codebook.encode(x, torch.full((3,), 4)).reshape(8, -1).numpy()
    (indices,) = encoder.run(None, {"picture": pictures, "sizes": np.full(2, 4, np.int32)})
    assert (indices == ours).mean() > 0.99  # of what lies between two codewords, rounding decides


def test_kept_features_that_are_gone_are_a_sentence(tmp_path: Path, weights: dict[str, Any]) -> None:
    wanted, split = recipe(), pictures_of(15, 0)
    make_views(wanted, split, tmp_path, weights, CPU)
    next(tmp_path.glob("kept-*-1.pt")).unlink()
    with pytest.raises(CheckpointError, match=r"is gone; delete views-.*\.pt beside it"):
        make_views(wanted, split, tmp_path, weights, CPU)


def test_mixed_pictures_have_the_classes_of_both_by_their_area() -> None:
    torch.manual_seed(0)
    batch = Batch(torch.arange(3.0).reshape(3, 1, 1, 1).expand(3, 2, 8, 8), torch.tensor([0, 1, 2]), torch.zeros(3, 3))
    shares = set()
    for _ in range(50):
        mixed = cut_mixed(batch, 3)
        of_others = (mixed.pictures != batch.pictures).float().mean((1, 2, 3))
        wanted = torch.eye(3) * (1 - of_others[:, None]) + torch.eye(3).roll(1, 0) * of_others[:, None]
        torch.testing.assert_close(mixed.labels, wanted)
        assert mixed.teacher_logits is None
        shares.add(round(float(of_others[0]), 3))
    assert len(shares) > 15 and not batch.labels.is_floating_point()


def test_codewords_fade_in(weights: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """At first what is decoded is what was not quantised, at every point; at the end it is codewords."""
    torch.manual_seed(0)
    wanted = recipe(stage3={**STAGE, "decoded": "all", "distil": False})
    model = RateModel(wanted, 3, weights["mobilenet_v2"])
    batch = Batch(torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 2, 0]))
    with torch.no_grad():
        model.network.initialise_from_pca(model.network.stem(batch.pictures))
        model.eval()
        # A decoder that tells small differences; that of a random network does not.
        monkeypatch.setattr(model, "decode", lambda x: 100 * x.reshape(len(x) // 16, -1)[:, :3])
        task = float(unquantised_loss(model, batch))
        x = model.sub_vectors_of(batch.pictures)
        model.codebook.extend(x, 2)
        model.codebook.extend(x, 4)
        z = model.codebook.quantise(x, (2, 4))
        vq = 1.25 * float(torch.stack([(x - one).square().mean() for one in z.values()]).mean())
        assert float(quantised_loss(model, batch, 4, 0.0)) == pytest.approx(2 * task + vq, rel=1e-4)
        assert float(quantised_loss(model, batch, 4)) != pytest.approx(2 * task + vq, rel=1e-4)


def test_only_weights_decay(weights: dict[str, Any], tmp_path: Path) -> None:
    views = KeptViews(torch.empty(0), torch.arange(8) % 3, None, torch.empty(0), torch.empty(0))
    for alone in (True, False):
        wanted = recipe(decay_weights_alone=alone)
        model = RateModel(wanted, 3, weights["mobilenet_v2"])
        run = StageRun(tmp_path / "a.pt", "key", wanted.stage3, model, model, [], views)
        decaying = {id(p) for g in run.optimiser.param_groups if g["weight_decay"] for p in g["params"]}
        every = {id(p) for g in run.optimiser.param_groups for p in g["params"]}
        assert every == {id(p) for p in model.parameters() if p.requires_grad}
        small = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
        assert all((id(p) in decaying) is not alone for p in (*small, model.codebook.increments))
        assert all(id(m.weight) in decaying for m in model.network.trunk_edge.modules() if type(m) is torch.nn.Conv2d)


def test_groups_that_share_planes_are_as_equal_as_can_be() -> None:
    wanted = recipe(network={**recipe().network.model_dump(), "latent_channels": 28})
    book = build_codebook(wanted.codebook.model_copy(update={"planes_a_level": 8}), 28)
    assert book.segments == (2, 2, 2, 2, 2, 2, 1, 1)
    book.share_bits(lambda sizes: torch.ones(8, 1) / torch.tensor(sizes))
    prefixes = book.prefixes()
    assert len(prefixes) == 16 and prefixes[7] == (2,) * 8 and prefixes[0] == (1,) * 6 + (2, 1)  # the most for a byte


def test_the_views_and_the_first_stage_are_shared(weights: dict[str, Any], tmp_path: Path) -> None:
    one = recipe()
    other = recipe(codebook={"family": "nested", "max_level": 2}, stage3={**STAGE, "seed": 3})
    assert (one.views_key(), one.stage1_key()) == (other.views_key(), other.stage1_key())
    split = pictures_of(15, 0)
    train_on(one, make_views(one, split, tmp_path, weights, CPU), len(COLOURS), tmp_path, weights["mobilenet_v2"])
    before = sorted(path.name for path in tmp_path.iterdir())
    make_views(other, split, tmp_path, weights, CPU)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
