"""A codebook, a backbone and a task of one file each: trained together, exported, served and streamed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from artoveq.exporting import export_measured
from edge_client import Client, Encoder, OneShot
from tests.inference_server.serving import serving
from tests.seams.toy_backbone import ThreeLayers
from tests.seams.toy_codebook import EvenlySpaced
from tests.seams.toy_task import Brightness, BrightnessOnTheWire
from training import backbones, codebooks, tasks
from training.data import Split
from training.recipe import Recipe, checked_recipe
from training.stages import train, trained_model
from wire import tasks as wire_tasks
from wire.artifact import Artifact
from wire.exceptions import RecipeError
from wire.manifest import DECODER, TORCH_DECODER

pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("ignore")]  # of torch's exporter

STAGE = {"epochs": 6, "pretrained_rate": 1e-2, "new_rate": 1e-2}
VALUES = {
    "name": "toys",
    "dataset": "plain",
    "picture": 32,
    "batch": 16,
    "views": 2,
    "task": "brightness",
    "network": {"backbone": "three layers", "cut": 2, "latent_channels": 3, "weights": "random"},
    "codebook": {"family": "evenly spaced", "d": 1},
    "stage1": STAGE,
    "stage3": STAGE,
}


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(backbones.BACKBONES, "three layers", ThreeLayers())
        patch.setitem(codebooks.CODEBOOKS, "evenly spaced", EvenlySpaced)
        patch.setitem(tasks.TASKS, "brightness", Brightness())
        patch.setitem(wire_tasks.TASKS, "brightness", BrightnessOnTheWire())
        yield


def split_of(count: int) -> Split:
    """Pictures of one grey each, with noise; their classes are of no use to the task."""
    random = np.random.default_rng(count)
    greys = random.integers(40, 216, (count, 1, 1, 1)) + random.integers(-20, 20, (count, 36, 40, 3))
    return Split(("odd", "even"), list(greys.clip(0, 255).astype(np.uint8)), np.arange(count) % 2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, registered: None) -> tuple[Recipe, Path, Artifact]:
    recipe, folder = checked_recipe(VALUES, "toys"), tmp_path_factory.mktemp("toys")
    train(recipe, split_of(160), folder, weights_file=None, device=torch.device("cpu"))
    return recipe, folder, export_measured(recipe, folder, split_of(160), split_of(48), folder / "artifact")


def test_the_manifest_says_what_the_members_are(trained: tuple[Recipe, Path, Artifact]) -> None:
    manifest = trained[2].manifest
    assert (manifest.family, manifest.any_size, manifest.segments) == ("evenly spaced", True, (2, 1))
    assert (manifest.backbone["name"], manifest.task.name, manifest.task.metric) == (
        "three layers", "brightness", "closeness",
    )  # fmt: skip
    assert sorted(point.sizes for point in manifest.points) == [(2, 2), (2, 3), (3, 3), (3, 5), (5, 5), (8, 8)]
    assert manifest.point(len(manifest.points)).metric > 0.9


def test_the_exported_halves_compute_what_the_model_does(trained: tuple[Recipe, Path, Artifact]) -> None:
    recipe, folder, artifact = trained
    model, _ = trained_model(recipe, 2, folder)
    encoder, decoder = Encoder(artifact), ort.InferenceSession(artifact.path(DECODER))
    program = torch.export.load(io.BytesIO(artifact.path(TORCH_DECODER).read_bytes())).module()
    pictures = np.stack([encoder.fit(split_of(5).picture(i)) for i in range(5)])
    as_model_sees = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255
    for number, point in enumerate(artifact.manifest.points, 1):
        indices, sizes = encoder.encode_batch(pictures, number), np.tile(np.int32(point.sizes), (5, 1))
        assert (indices.reshape(-1, 3) < np.repeat(point.sizes, (2, 1))).all()
        (found,) = decoder.run(["output"], {"indices": indices, "sizes": sizes})
        with torch.no_grad():
            expected = model(as_model_sees, point.sizes).numpy()
            np.testing.assert_allclose(found, expected, atol=1e-4)
            np.testing.assert_allclose(program(*map(torch.from_numpy, (indices, sizes))), expected, atol=1e-4)


def test_its_answer_crosses_as_a_struct(trained: tuple[Recipe, Path, Artifact]) -> None:
    artifact = trained[2]
    with serving(artifact.folder) as server, Client(server.address, str(artifact.folder)) as client:
        for grey in (60, 190):
            result = client.predict(np.full((32, 32, 3), grey, np.uint8), OneShot(len(artifact.manifest.points)))
            assert result.answers[-1].value == pytest.approx(grey / 255, abs=0.1)


def test_a_member_refuses_what_it_cannot() -> None:
    for change, said in (
        ({"codebook": {"family": "evenly spaced", "d": 3}}, "d must be 1 for values on a line"),
        ({"network": {**VALUES["network"], "cut": 3}}, "cut at 1 or 2"),  # type: ignore[dict-item]
    ):
        with pytest.raises(RecipeError, match=said):
            checked_recipe({**VALUES, **change}, "toys")
