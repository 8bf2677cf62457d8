"""What is exported computes what was trained: both halves, at every point, in ONNX and as a torch program."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import Tensor

from tests.seams.toy_backbone import ThreeLayers
from training.backbones import BACKBONES
from training.codebooks.ops import segment_of_group
from training.export import export_files, folded_codewords, manifest_values
from training.model import RateModel
from training.recipe import checked_recipe
from wire.folded import as_rows
from wire.manifest import DECODER, ENCODER, TORCH_DECODER

pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("ignore")]  # of torch's exporter

STAGE = {"epochs": 0, "pretrained_rate": 1e-3, "new_rate": 1e-3}


def model_of(family: str) -> RateModel:
    """Three layers, four channel groups, codewords placed on latents of noise."""
    torch.manual_seed(0)
    values = {
        "name": "tiny", "dataset": "none", "picture": 32, "stage1": STAGE, "stage3": STAGE,
        "network": {"backbone": "three layers", "weights": "random", "cut": 2, "latent_channels": 8},
        "codebook": {"family": family, "max_level": 3, "segments": 2, "least": 2},
    }  # fmt: skip
    model = RateModel(checked_recipe(values, "tiny"), 3, None).eval()
    with torch.no_grad():
        x = model.sub_vectors_of(torch.rand(16, 3, 32, 32))
    for size in model.codebook.sizes:
        model.codebook.extend(x, size)

    def distortion(sizes: Sequence[int]) -> Tensor:
        weights = (9.0, *[1.0] * (len(model.codebook.segments) - 1))
        return torch.tensor([[weight / size**2 for size in sizes] for weight in weights])

    model.codebook.share_bits(distortion)
    return model


@pytest.mark.parametrize(("family", "points"), [("progressive", 3), ("nested", 3), ("mixed", 5), ("rate-adaptive", 20)])
def test_the_files_compute_what_the_model_does(monkeypatch: pytest.MonkeyPatch, family: str, points: int) -> None:
    monkeypatch.setitem(BACKBONES, "three layers", ThreeLayers())
    model = model_of(family)
    files, codebook = export_files(model), model.codebook
    encoder, decoder = (ort.InferenceSession(files[name]) for name in (ENCODER, DECODER))
    exported = torch.export.load(io.BytesIO(files[TORCH_DECODER]))
    assert not any("trunk_edge" in name or "bottleneck" in name for name in exported.state_dict)
    program = exported.module()
    pictures = np.random.default_rng(0).integers(256, size=(5, 32, 32, 3)).astype(np.uint8)
    as_input = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255
    group_segment, received, wanted = segment_of_group(codebook.segments), [], []
    assert len(codebook.points()) == points
    for point in codebook.points():
        (found,) = encoder.run(["indices"], {"picture": pictures, "sizes": np.array(point, np.int32)})
        with torch.no_grad():
            ours = codebook.encode(model.sub_vectors_of(as_input), torch.tensor(point)[group_segment])
            wanted.append(model(as_input, point).numpy())
        assert found.dtype == np.int32 and np.array_equal(found, ours.reshape(5, -1).numpy())
        received.append((found, np.tile(np.array(point, np.int32), (5, 1))))
    indices, sizes = (np.concatenate(parts) for parts in zip(*received, strict=True))  # points mix in a batch
    (answers,) = decoder.run(["logits"], {"indices": indices, "sizes": sizes})
    np.testing.assert_allclose(answers, np.concatenate(wanted), atol=1e-4)
    with torch.no_grad():
        through_program = program(torch.from_numpy(indices), torch.from_numpy(sizes))
    np.testing.assert_allclose(through_program, answers, atol=1e-4)


def test_codebooks_whose_sizes_are_their_first_rows_are_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKBONES, "three layers", ThreeLayers())
    model = model_of("rate-adaptive")
    codewords = folded_codewords(model)
    assert codewords is not None and np.array_equal(codewords, model.codebook.table()[0][:, 1:].detach())
    rows = as_rows(codewords)
    assert rows.min() == 0 and rows.max() == 65535
    far, exact = (np.linalg.norm(of[0, 0].astype(float) - of[0, 3]) for of in (rows, codewords))
    near, also = (np.linalg.norm(of[0, 1].astype(float) - of[0, 2]) for of in (rows, codewords))
    assert far / near == pytest.approx(exact / also, rel=1e-3)
    assert folded_codewords(model_of("nested")) is None


def test_the_manifest_has_the_points_that_are_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKBONES, "three layers", ThreeLayers())
    model = model_of("mixed")
    values = manifest_values(model, model.recipe, 1.0, ["a", "b", "c"])
    assert [tuple(point["sizes"]) for point in values["points"]] == model.codebook.points()
    assert [point["payload_bytes"] for point in values["points"]] == [32, 48, 64, 80, 96]
    assert values["planes"] == [] and values["segments"] == [2, 2] and values["task"]["classes"] == ["a", "b", "c"]
