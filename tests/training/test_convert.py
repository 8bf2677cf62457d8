"""Artifacts of version 1 go on with the same weights: indices to the bit, logits to the rounding."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from tests import tiny
from tests.seams.toy_backbone import ThreeLayers
from tests.training.version_1 import write_version_1
from training.backbones import BACKBONES
from training.chain import with_chain
from training.convert import convert_files
from training.model import RateModel
from training.recipe import checked_recipe
from wire.artifact import write_artifact
from wire.exceptions import ArtifactError
from wire.manifest import DECODER, ENCODER, TORCH_DECODER

pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("ignore")]  # of torch's exporter

STAGE = {"epochs": 0, "pretrained_rate": 1e-3, "new_rate": 1e-3}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKBONES, "three layers", ThreeLayers())


def model_of(family: str) -> RateModel:
    torch.manual_seed(0)
    values = {
        "name": "old", "dataset": "none", "picture": 32, "stage1": STAGE, "stage3": STAGE,
        "network": {"backbone": "three layers", "weights": "random", "cut": 2, "latent_channels": 4},
        "codebook": {"family": family, "max_level": 3},
    }  # fmt: skip
    model = RateModel(checked_recipe(values, "old"), 2, None).eval()
    with torch.no_grad():
        x = model.sub_vectors_of(torch.rand(16, 3, 32, 32))
    for size in model.codebook.sizes:
        model.codebook.extend(x, size)
    return model


@pytest.mark.parametrize("family", ["progressive", "nested"])
def test_a_converted_artifact_computes_the_same(tmp_path: Path, family: str) -> None:
    model = model_of(family)
    write_version_1(model, tmp_path / "old")
    values, files = convert_files(tmp_path / "old")
    segments = len(values["segments"])
    old_encoder, old_decoder = (ort.InferenceSession(tmp_path / "old" / name) for name in (ENCODER, DECODER))
    encoder, decoder = (ort.InferenceSession(files[name]) for name in (ENCODER, DECODER))
    program = torch.export.load(io.BytesIO(files[TORCH_DECODER])).module()
    pictures = np.random.default_rng(0).integers(256, size=(7, 32, 32, 3)).astype(np.uint8)
    for level in (1, 2, 3):
        (old,) = old_encoder.run(None, {"picture": pictures, "level": np.array(level)})
        (new,) = encoder.run(None, {"picture": pictures, "sizes": np.full(segments, 2**level, np.int32)})
        assert new.dtype == np.int32 and np.array_equal(new, old)
        (expected,) = old_decoder.run(None, {"indices": old, "levels": np.full(7, level)})
        sizes = np.full((7, segments), 2**level, np.int32)
        (found,) = decoder.run(["logits"], {"indices": new, "sizes": sizes})
        np.testing.assert_allclose(found, expected, atol=1e-5)
        with torch.no_grad():
            np.testing.assert_allclose(program(torch.from_numpy(new), torch.from_numpy(sizes)), expected, atol=1e-5)


def test_segments_of_a_refinable_model_have_sizes_of_their_own(tmp_path: Path) -> None:
    model = model_of("progressive")
    write_version_1(model, tmp_path / "old")
    values, files = convert_files(tmp_path / "old")
    values = with_chain(values, (0, 1, 1, 0, 0, 1))
    manifest = write_artifact(tmp_path / "new", values, files).manifest
    assert [point.sizes for point in manifest.points] == [(2, 1), (2, 2), (2, 4), (4, 4), (8, 4), (8, 8)]
    assert [point.temperature for point in manifest.points] == [1.0, 1.1, 1.0, 1.2, 1.0, 1.3]
    assert manifest.levels == {1: 2, 2: 4, 3: 6} and manifest.unquantised_metric == 0.9
    encoder, decoder = (ort.InferenceSession(files[name]) for name in (ENCODER, DECODER))
    pictures = np.random.default_rng(0).integers(256, size=(3, 32, 32, 3)).astype(np.uint8)
    for point in manifest.points:
        (indices,) = encoder.run(None, {"picture": pictures, "sizes": np.array(point.sizes, np.int32)})
        (found,) = decoder.run(None, {"indices": indices, "sizes": np.tile(np.int32(point.sizes), (3, 1))})
        with torch.no_grad():
            expected = model(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255, point.sizes)
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_what_cannot_be_converted_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="gone cannot be converted"):
        convert_files(tmp_path / "gone")
    (tmp_path / "manifest.json").write_text('{"format_version": 3}')
    with pytest.raises(ArtifactError, match="has format version 3, and this artoveq reads"):
        convert_files(tmp_path)


def test_an_artifact_of_today_is_taken_as_it_is(tmp_path: Path) -> None:
    old = tiny.progressive(tmp_path / "old", coded=True)
    values, files = convert_files(old.folder)
    assert write_artifact(tmp_path / "new", values, files).manifest == old.manifest
