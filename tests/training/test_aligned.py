"""A quantiser between a LayerNorm and gated projections, in front of transformer blocks: nothing goes round it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from artoveq.exporting import export_measured
from benchmarks.service.load import sample_crops
from edge_client import Encoder
from inference_server.decoder import OnnxDecoder
from tests.seams.toy_backbone import ThreeLayers
from training.backbones import BACKBONES
from training.codebooks.aligned import GatedProjection, TokenNorm
from training.data import Split
from training.export import EdgeHalf
from training.model import RateModel
from training.network import SplitNetwork
from training.program import BATCH, save_onnx
from training.recipe import Recipe, checked_recipe, read_recipe
from training.stages import train, trained_model
from wire.exceptions import RecipeError
from wire.manifest import DECODER, TORCH_DECODER
from wire.pictures import fit_picture

RECIPE = read_recipe(Path("training/recipes/imagewoof112-transformer-aligned.toml"))


def small(**changes: Any) -> Recipe:
    """The recipe for pictures of 32×32, from random weights, with a latent of 4×4."""
    values = RECIPE.model_dump(mode="json", exclude_none=True)
    network = {**values["network"], "cut": 5, "latent_channels": 8, "weights": "random"}
    stage = {"epochs": 4, "pretrained_rate": 3e-3, "new_rate": 3e-3}
    values |= {
        "name": "small", "picture": 32, "batch": 16, "views": 1, "network": network,
        "codebook": {**values["codebook"], "max_level": 2},
        "stage1": stage, "stage3": {**values["stage3"], **stage},
    }  # fmt: skip
    del values["teacher"]
    return checked_recipe({**values, **changes}, "small")


def split_of(count: int) -> Split:
    """Red above green, and green above red."""
    random = np.random.default_rng(count)
    labels = np.arange(count) % 2
    pictures = random.integers(90, 130, (count, 32, 32, 3))
    for picture, label in zip(pictures, labels, strict=True):
        picture[:16, :, label] += 60
        picture[16:, :, 1 - label] += 60
    return Split(("red", "green"), list(pictures.astype(np.uint8)), labels)


def test_what_stands_around_the_quantiser() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 12, 3, 3) * 5 + 3
    normed = TokenNorm()(x)
    torch.testing.assert_close(normed.mean(1), torch.zeros(2, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(normed.var(1, unbiased=False), torch.ones(2, 3, 3))
    projection = GatedProjection(12, 8)
    linear = torch.nn.functional.conv2d(x, projection.weight, projection.bias)
    torch.testing.assert_close(projection(x), linear)  # to begin with
    with torch.no_grad():
        projection.gated.weight.normal_()
    assert not torch.allclose(projection(x), linear)
    projection(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in projection.parameters())


def test_it_starts_as_the_best_linear_approximation_of_the_cut() -> None:
    torch.manual_seed(0)
    pictures, network = torch.rand(32, 3, 64, 64), SplitNetwork(small(picture=64), 2, None)
    network.initialise_from_pca(pictures)
    network.eval()
    with torch.no_grad():
        cut, latent = network.trunk_edge(pictures), network.encode(pictures)
        found = network.expand(latent)
    torch.testing.assert_close(latent.var((0, 2, 3)), torch.ones(8), atol=0.05, rtol=0)
    variance = (cut - cut.mean((0, 2, 3), keepdim=True)).square().mean()
    # TokenNorm takes each token's mean and scale away, so that not all of the variance can come back.
    assert (found - cut).square().mean() < 0.7 * variance
    assert abs(float((found - cut).mean())) < 1e-4


def test_stage_1_is_shared_with_families_that_stand_alike_and_no_others() -> None:
    stage = small().stage3.model_dump(exclude_none=True)
    one, same = small(), small(stage3={**stage, "seed": 1})
    other = small(codebook={"family": "progressive", "d": 4})
    assert one.stage1_key() == same.stage1_key() != other.stage1_key()


def test_two_pictures_of_one_payload_have_one_answer() -> None:
    """The quantiser maps all to one codeword: whatever else reached the answer would tell them apart."""
    torch.manual_seed(0)
    model, pictures = RateModel(small(), 2, None).eval(), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        one, other = model(pictures, ())
        assert not torch.allclose(one, other)
        for point in model.codebook.points():
            one, other = model(pictures, point)
            assert torch.equal(one, other)


def with_scale(**changes: Any) -> Recipe:
    return small(codebook={"family": "aligned", "d": 4, "max_level": 6, "scale": True}, picture=64, **changes)


def test_a_tokens_scale_crosses_in_four_bits_at_most_and_is_counted() -> None:
    torch.manual_seed(0)
    recipe = with_scale(network={**small().network.model_dump(exclude_none=True), "latent_channels": 12})
    model, pictures = RateModel(recipe, 2, None), torch.rand(16, 3, 64, 64)
    model.network.initialise_from_pca(model.network.stem(pictures))
    model.eval()
    assert model.codebook.segments == (1, 1, 1) and model.sub_vectors == 3 * 64
    assert model.codebook.points()[-1] == (64, 64, 16) and model.codebook.bits((64, 64, 16)) == 16
    with torch.no_grad():
        model.codebook.share_bits(lambda sizes: 1 / torch.tensor(sizes, dtype=torch.float).expand(3, -1))
        chain = model.codebook.prefixes()
        assert len(chain) == 6 + 6 + 4 and chain[0] == (2, 1, 1) and chain[-1] == (64, 64, 16)
        cut, latent = model.network.trunk_edge(model.network.stem(pictures)), model.network.encode(pictures)
    deviation = (cut.var(1, unbiased=False) + 1e-6).log()
    whitened = (deviation - deviation.mean()) / deviation.std()
    torch.testing.assert_close(latent[:, 8], whitened, atol=1e-2, rtol=0)
    assert not latent[:, 9:].any()  # one dimension in four channels
    torch.testing.assert_close(latent[:, :8].var((0, 2, 3)), torch.ones(8), atol=0.05, rtol=0)


def test_who_has_no_scale_is_told_so_and_shares_no_stage_1_with_who_has() -> None:
    assert with_scale().stage1_key() != small(picture=64).stage1_key()
    stage = {**small().stage3.model_dump(exclude_none=True), "decoded": "sandwich"}
    with pytest.raises(RecipeError, match=r"codebook\.scale is for aligned codebooks"):
        with_scale(stage3=stage)
    with pytest.raises(RecipeError, match=r"codebook\.scale is for aligned codebooks"):
        small(codebook={"family": "progressive", "d": 4, "scale": True})
    with pytest.raises(RecipeError, match="give it another one at least"):
        with_scale(network={**small().network.model_dump(exclude_none=True), "latent_channels": 4})


@pytest.mark.training
@pytest.mark.filterwarnings("ignore")  # of torch's exporter
def test_it_is_trained_exported_and_refined_plane_by_plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKBONES, "three layers", ThreeLayers())
    stage = {"epochs": 8, "pretrained_rate": 5e-3, "new_rate": 5e-3}
    recipe = small(
        network={"backbone": "three layers", "cut": 2, "latent_channels": 8, "weights": "random"},
        batch=8, stage1=stage, stage3={**stage, "decoded": "chain"},
    )  # fmt: skip
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two that wait for each other on a busy machine take many times as long
    train(recipe, split_of(96), tmp_path, weights_file=None, device=torch.device("cpu"))
    artifact = export_measured(recipe, tmp_path, split_of(96), split_of(24), tmp_path / "artifact")
    torch.set_num_threads(threads)
    manifest = artifact.manifest
    assert (manifest.family, manifest.refinable, manifest.latent.shape) == ("aligned", True, (8, 8, 8))
    assert len(manifest.planes) == 2 * 2 and manifest.points[-1].metric > 0.9
    assert [given.name for given in onnx.load(artifact.path(DECODER)).graph.input] == ["indices", "sizes"]
    assert artifact.has(TORCH_DECODER)
    model, _ = trained_model(recipe, 2, tmp_path)
    encoder, decoder = Encoder(artifact), OnnxDecoder(artifact)
    pictures = np.stack([split_of(5).picture(i) for i in range(5)])
    for number in range(1, 1 + len(manifest.points)):
        point = manifest.point(number)
        indices, sizes = encoder.encode_batch(pictures, number), np.tile(np.int32(point.sizes), (5, 1))
        found = decoder.decode(indices, sizes, np.full(5, number))
        with torch.no_grad():
            logits = model(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255, point.sizes)
        np.testing.assert_allclose(found, (logits / point.temperature).softmax(1).numpy(), atol=1e-3)
    indices[1:] = indices[0]
    answers = decoder.decode(indices, sizes, np.full(5, number))
    assert (answers == answers[:1]).all()


def crops_of(side: int, count: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([fit_picture(crop, side) for crop in sample_crops(side, count)]))


@pytest.mark.training
@pytest.mark.filterwarnings("ignore")  # of torch's exporter
def test_the_exported_edge_differs_from_torchs_only_where_two_codewords_are_as_near() -> None:
    """At full size, with codewords on the latents of what it sees: ONNX Runtime sums in another order than torch."""
    torch.manual_seed(0)
    recipe = checked_recipe({**RECIPE.model_dump(exclude_none=True), "network": {
        **RECIPE.network.model_dump(exclude_none=True), "weights": "random"}}, "random")  # fmt: skip
    model, pictures = RateModel(recipe, 10, None), crops_of(recipe.picture, 1000)
    as_seen = pictures.permute(0, 3, 1, 2) / 255
    model.network.initialise_from_pca(as_seen[::10])
    model.eval()
    with torch.no_grad():
        x = torch.cat([model.sub_vectors_of(part) for part in as_seen.split(100)])
        for size in model.codebook.sizes:
            model.codebook.extend(x, size)
    edge, sizes = EdgeHalf(model).eval(), torch.full((len(model.codebook.segments),), 256, dtype=torch.int32)
    file = save_onnx(edge, (pictures[:2], sizes), ["picture", "sizes"], "indices", (BATCH, None))
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    given = ({"picture": part.numpy(), "sizes": sizes.numpy()} for part in pictures.split(100))
    with torch.no_grad():
        ours = torch.cat([edge(part, sizes) for part in pictures.split(100)])
    theirs = torch.from_numpy(np.concatenate([session.run(None, one)[0] for one in given]))
    assert len(ours.unique()) > 200
    rows = (ours != theirs).flatten().nonzero().flatten()
    assert len(rows) <= ours.numel() / 10_000
    groups, levels = model.codebook.groups, len(model.codebook.sizes)
    for row in rows.tolist():
        position, group = divmod(row, groups)
        one, other = int(ours.flatten()[row]), int(theirs.flatten()[row])
        residual = x[position, group].double()
        for level in range(levels):  # down to the first bit that differs
            words, bits = model.codebook.increments[level, group].double(), (one >> (levels - 1 - level)) & 1
            if bits != (other >> (levels - 1 - level)) & 1:
                near, far = sorted((residual - words).square().sum(1).tolist())
                assert (far - near) / far < 1e-4
                break
            residual = residual - words[bits]
