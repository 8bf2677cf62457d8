"""A local head beside the quantiser: what was there stays to the bit, and the head answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from artoveq.exporting import give_local_head
from edge_client import Encoder
from tests.seams.toy_backbone import ThreeLayers
from tests.training.test_export import model_of
from tests.wire.manifests import manifest_of
from training.backbones import BACKBONES
from training.data import Split
from training.export import export_files, manifest_values
from training.local_head import LocalHead, check_answers, latents, spliced, train_head
from training.recipe import LocalHeadRecipe
from training.splice import branch_of, branched
from wire.artifact import Artifact, load_artifact, write_artifact
from wire.exceptions import UsageError
from wire.manifest import ENCODER, LOCAL_LOGITS

pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("ignore")]  # of torch's exporter

RECIPE = LocalHeadRecipe(epochs=8, views=2, channels=(8, 8), rate=2e-2)
COLOURS = ("red", "green", "blue")


def pictures_of(count: int, seed: int) -> Split:
    """Noise that is brighter in one colour."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    pictures = [random.integers(0, 120, (40, 44, 3), dtype=np.uint8) for _ in range(count)]
    for picture, label in zip(pictures, labels, strict=True):
        picture[..., label] += 100
    return Split(COLOURS, pictures, labels)


@pytest.fixture
def artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Artifact:
    monkeypatch.setitem(BACKBONES, "three layers", ThreeLayers())
    model = model_of("progressive")
    return write_artifact(tmp_path / "model", manifest_values(model, model.recipe, 1.0, COLOURS), export_files(model))


def test_an_artifact_gets_a_head_that_answers_and_all_else_stays(artifact: Artifact, tmp_path: Path) -> None:
    train, test = pictures_of(360, 0), pictures_of(60, 1)
    made = give_local_head(artifact, train, test, tmp_path / "headed", RECIPE)
    head = made.manifest.local_head
    assert head is not None and head.metric > 0.9 and head.temperature != 1
    assert made.manifest.recipe["local_head"]["epochs"] == RECIPE.epochs
    old, new = Encoder(artifact), Encoder(load_artifact(made.folder))
    batch = np.stack([new.fit(picture) for picture in test.sources])
    indices, answers = new.answer_batch(batch)
    assert (answers.argmax(1) == test.labels).mean() == pytest.approx(head.metric)
    assert np.array_equal(indices, old.encode_batch(batch, old.finest))
    kept = {name for name in artifact.manifest.files if name != ENCODER}
    assert all(artifact.manifest.files[name] == made.manifest.files[name] for name in kept)
    assert made.manifest.points == artifact.manifest.points
    again = give_local_head(made, train, test, tmp_path / "again", RECIPE)  # in place of the one that it has
    assert again.manifest.local_head == head
    assert np.array_equal(Encoder(load_artifact(again.folder)).answer_batch(batch)[1], answers)


def test_no_node_of_the_encoder_is_touched(artifact: Artifact) -> None:
    before = onnx.load_from_string(artifact.read(ENCODER))
    head = LocalHead(artifact.manifest.latent.shape, 3, (4, 4)).eval()
    encoder = spliced(artifact.read(ENCODER), head, artifact.manifest)
    after = onnx.load_from_string(encoder)
    assert list(after.graph.node)[: len(before.graph.node)] == list(before.graph.node)
    assert [one.name for one in after.graph.output] == ["indices", LOCAL_LOGITS]
    # Taken off and put on again, it computes the same.
    again = branched(artifact.read(ENCODER), branch_of(encoder, LOCAL_LOGITS))
    given = {
        "picture": np.random.default_rng(0).integers(256, size=(3, 32, 32, 3)).astype(np.uint8),
        "sizes": np.array(artifact.manifest.points[-1].sizes, np.int32),
    }
    first, second = (ort.InferenceSession(one).run([LOCAL_LOGITS], given)[0] for one in (encoder, again))
    assert np.array_equal(first, second) and first.shape == (3, 3)


def test_the_head_sees_pictures_that_the_artifact_was_trained_on(artifact: Artifact) -> None:
    train = pictures_of(100, 0)
    vectors, labels = latents(artifact, train, 2)
    assert vectors.shape == (
        2,
        95,
        artifact.manifest.sub_vectors * artifact.manifest.latent.d,
    )  # a twentieth is held out
    torch.manual_seed(0)
    head = train_head(artifact.manifest, vectors, labels, RECIPE, 0.1)
    assert not head.training


def test_a_task_without_classes_has_no_head() -> None:
    manifest = manifest_of((1,), [(2,)])
    check_answers(manifest)
    with pytest.raises(UsageError, match="tells no classes apart"):
        check_answers(manifest.model_copy(update={"task": manifest.task.model_copy(update={"classes": ()})}))
