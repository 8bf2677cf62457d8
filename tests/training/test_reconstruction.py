"""A VQ-VAE of any size, small: trained, exported, served, and asked over gRPC and REST."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import torch
from PIL import Image

from artoveq.evaluation import evaluate, evaluate_through_server
from artoveq.exporting import export_measured
from edge_client import Client, OneShot
from tests.inference_server.serving import serving
from training.backbones import BACKBONES
from training.codebooks import build_codebook
from training.data import Split
from training.losses import decoded_points
from training.model import RateModel
from training.recipe import Recipe, checked_recipe, read_recipe
from training.stages import train
from training.tasks import TASKS
from training.views import Batch, Views
from wire.artifact import Artifact
from wire.exceptions import RecipeError, TrainingError
from wire.pictures import read_picture

RECIPE = read_recipe(Path("training/recipes/cifar100-vqvae-rate-adaptive.toml"))


def recipe_with(**changes: Any) -> Recipe:
    return checked_recipe({**RECIPE.model_dump(mode="json", exclude_none=True), **changes}, "a VQ-VAE")


def split_of(count: int) -> Split:
    """Two colours each, one above the other."""
    random = np.random.default_rng(count)
    halves = random.integers(30, 225, (count, 2, 1, 1, 3))
    noise = random.integers(-8, 8, (count, 2, 16, 32, 3))
    pictures = (halves + noise).clip(0, 255).astype(np.uint8).reshape(count, 32, 32, 3)
    return Split(("odd", "even"), list(pictures), np.arange(count) % 2)


def test_the_network_has_the_papers_widths() -> None:
    model = RateModel(RECIPE, 100, None)
    assert model.network.latent_shape == (64, 8, 8) and model.sub_vectors == 64
    assert model.codebook.segments == (1,) and model.codebook.table()[0].shape == (1, 1025, 64)
    convolutions = [m for m in model.network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert {(c.in_channels, c.out_channels) for c in convolutions} >= {(128, 64), (64, 128), (128, 128)}
    pictures = torch.rand(2, 3, 32, 32)
    assert model.network.decode(model.network.encode(pictures)).shape == pictures.shape


def test_sizes_below_the_least_are_neither_trained_nor_offered() -> None:
    codebook = build_codebook(RECIPE.codebook, 64)
    assert codebook.sizes == (16, 32, 64, 128, 256, 512, 1024)
    assert all(codebook.drawn_sizes()[0] == 16 for _ in range(20))
    codebook.share_bits(lambda sizes: 1 / torch.tensor(sizes, dtype=torch.float)[None])
    assert codebook.points()[:3] == [(16,), (17,), (19,)] and codebook.points()[-1] == (1024,)
    model = RateModel(RECIPE, 100, None)
    assert all(min(point) >= 16 for _ in range(20) for point in decoded_points(model, 1024))


def test_a_task_and_a_backbone_that_do_not_fit_are_told_so() -> None:
    with pytest.raises(RecipeError, match="needs a backbone that gives a picture, and mobilenet_v2 does not"):
        recipe_with(network={"backbone": "mobilenet_v2"})
    with pytest.raises(RecipeError, match="classification needs a backbone that gives features, and vqvae does not"):
        recipe_with(task="classification")
    with pytest.raises(RecipeError, match=r"no pretrained weights; set network\.weights"):
        recipe_with(network={**RECIPE.network.model_dump(), "weights": "imagenet"})
    with pytest.raises(TrainingError, match=r"leave \[teacher\] out"):
        BACKBONES["vqvae"].pretrained(None)


def test_pictures_to_be_reconstructed_are_not_relit() -> None:
    pictures = torch.randint(0, 256, (1, 4, 3, 32, 32), dtype=torch.uint8)
    views = Views(pictures, torch.zeros(4), None, pictures[0], torch.zeros(4))
    found = views.batch(torch.arange(4), 0, relit=TASKS["reconstruction"].relit).pictures
    original = pictures[0] / 255
    for one, other in zip(found, original, strict=True):
        assert torch.equal(one, other) or torch.equal(one, other.flip(2))


def test_losses_are_shares_of_the_variance_and_scores_are_psnr() -> None:
    task, pictures = TASKS["reconstruction"], torch.full((2, 3, 32, 32), 0.5)
    batch = Batch(pictures, torch.zeros(2))
    assert float(task.loss(pictures + 0.1, batch, 0.0)) == pytest.approx(0.01 / 0.06)
    assert task.score(pictures + 0.1, batch).tolist() == pytest.approx([20, 20])
    assert task.shown(20.123) == "20.12 dB"
    better, worse = (task.nll(pictures + error, batch) for error in (0.01, 0.1))
    assert (better < worse).all() and better.shape == (2,)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder, stage = tmp_path_factory.mktemp("vqvae"), {"epochs": 4, "pretrained_rate": 2e-3, "new_rate": 2e-3}
    stages = {"stage1": stage, "stage3": {**RECIPE.stage3.model_dump(exclude_none=True), **stage}}
    codebook = {**RECIPE.codebook.model_dump(exclude_none=True), "max_level": 6}
    recipe = recipe_with(name="two-colours", batch=16, codebook=codebook, **stages)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two that wait for each other on a busy machine take many times as long
    train(recipe, split_of(192), folder, weights_file=None, device=torch.device("cpu"))
    torch.set_num_threads(threads)
    return export_measured(recipe, folder, split_of(192), split_of(32), folder / "artifact")


@pytest.mark.training
@pytest.mark.filterwarnings("ignore")  # of torch's exporter
def test_it_is_trained_exported_and_measured(artifact: Artifact) -> None:
    manifest = artifact.manifest
    assert (manifest.latent.d, manifest.sub_vectors, manifest.any_size) == (64, 64, True)
    assert [point.payload_bytes for point in manifest.points] == list(range(32, 49))  # ceil(64 · log2 K / 8)
    assert (manifest.task.name, manifest.task.metric) == ("reconstruction", "psnr")
    assert manifest.points[-1].metric > 18  # a single grey for each picture has about 12 dB
    report = evaluate(artifact, split_of(32))
    assert report[-1]["psnr"] == pytest.approx(manifest.points[-1].metric, abs=1e-3)
    assert 0.3 < report[-1]["ssim"] < 1 and 1 < report[-1]["perplexity"] <= 64


@pytest.mark.training
@pytest.mark.filterwarnings("ignore")
def test_it_answers_with_pictures_over_grpc_and_rest(artifact: Artifact) -> None:
    split, best = split_of(8), len(artifact.manifest.points)
    with serving(artifact.folder) as server, Client(server.address) as client:
        for i in range(len(split)):
            original = split.picture(i)
            result = client.predict(original, OneShot(best), budget=5)
            assert 0 < result.payload_bytes <= 48 and result.picture.shape == (32, 32, 3)
            assert TASKS["reconstruction"].score_of_answer(result.answers[-1].value, original, 0) > 15
        file = Path(str(artifact.folder) + ".png")
        Image.fromarray(original).save(file)
        answer = httpx2.post(f"{server.url}/v1/predictions", content=file.read_bytes(), params={"point": best}).json()
        assert np.array_equal(read_picture(b64decode(answer["png"])), result.picture)


@pytest.mark.training
@pytest.mark.filterwarnings("ignore")
def test_what_crosses_a_server_is_as_good_as_what_is_measured_here(artifact: Artifact) -> None:
    streamed, here = evaluate_through_server(artifact, split_of(8)), evaluate(artifact, split_of(8))
    for one, other in zip(streamed, here, strict=True):
        assert one["sent_bytes"] == (other["coded_bytes"] or other["payload_bytes"])
        assert one["psnr"] == pytest.approx(other["psnr"], abs=0.05)  # pictures cross in 8 bits
