"""Transformer blocks, and MobileNetV2's features with blocks behind them."""

from __future__ import annotations

import io

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from training.backbones import BACKBONES
from training.backbones.transformer import DEPTH, WIDTH, Attention, Block, positions
from training.export import ServerHalf
from training.model import RateModel
from training.network import SplitNetwork
from training.program import BATCH, save_onnx, save_program
from training.recipe import Recipe, checked_recipe

BACKBONE = BACKBONES["mobilenet_v2-transformer"]
STAGE = {"epochs": 1, "pretrained_rate": 1e-3, "new_rate": 1e-3}


def recipe(**network: object) -> Recipe:
    values = {
        "name": "blocks", "dataset": "none", "picture": 64, "stage1": STAGE, "stage3": STAGE,
        "network": {"backbone": "mobilenet_v2-transformer", "weights": "random", **network},
        "codebook": {"family": "progressive"},
    }  # fmt: skip
    return checked_recipe(values, "blocks")


def test_attention_is_that_of_torch() -> None:
    torch.manual_seed(0)
    ours, theirs, x = Attention(24, 3), nn.MultiheadAttention(24, 3, batch_first=True), torch.randn(2, 5, 24)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.in_proj_bias.copy_(ours.qkv.bias)
        theirs.out_proj.load_state_dict(ours.proj.state_dict())
        torch.testing.assert_close(ours(x), theirs(x, x, x, need_weights=False)[0])


def test_a_block_knows_no_order_so_that_positions_have_to_tell_it() -> None:
    torch.manual_seed(0)
    block, x, order = Block(24, 3).eval(), torch.randn(1, 6, 24), torch.randperm(6)
    with torch.no_grad():
        torch.testing.assert_close(block(x)[:, order], block(x[:, order]))
    found = positions(3, 5, 24)
    assert found.shape == (15, 24)
    assert torch.pdist(found).min() > 0.5  # no two places are alike
    torch.testing.assert_close(found.norm(dim=1), torch.full((15,), 12.0).sqrt())


def test_the_blocks_stand_behind_mobilenets_features_and_learn_at_the_larger_rate() -> None:
    network = SplitNetwork(recipe(cut=14), 10, None)
    assert network.latent_shape == (16, 8, 8)
    assert sum(isinstance(m, Block) for m in network.trunk_server) == DEPTH
    assert network.decode(network.encode(torch.rand(2, 3, 64, 64))).shape == (2, 10)
    assert network.trunk_server(torch.rand(2, 96, 8, 8)).shape == (2, WIDTH)
    new = {id(p) for p in network.new_parameters()}
    assert all(id(p) in new for p in network.trunk_server.parameters())
    assert not any(id(p) in new for p in network.trunk_edge.parameters())
    plain = SplitNetwork(recipe(backbone="mobilenet_v2"), 10, None)
    assert {id(p) for p in plain.new_parameters()}.isdisjoint(map(id, plain.trunk_server.parameters()))


def test_both_halves_are_counted_with_attention() -> None:
    found = SplitNetwork(recipe(cut=14), 10, None).operations()
    linear = 64 * DEPTH * 12 * WIDTH**2 / 1e6
    assert linear < found["server_million_macs"] < 1.2 * linear


def test_its_cuts_are_mobilenets() -> None:
    with pytest.raises(Exception, match=r"network\.cut = 18 must be from 2 to 17"):
        recipe(cut=18)


@pytest.mark.training
@pytest.mark.filterwarnings("ignore")  # of torch's exporter
def test_the_exported_blocks_answer_batches_of_any_length() -> None:
    torch.manual_seed(0)
    model = RateModel(recipe(cut=7), 3, None).eval()
    with torch.no_grad():
        x = model.sub_vectors_of(torch.rand(4, 3, 64, 64))
    for size in model.codebook.sizes:
        model.codebook.extend(x, size)
    half = ServerHalf(model).eval()
    indices, sizes = (torch.zeros(2, count, dtype=torch.int32) for count in (model.sub_vectors, 8))
    graph = save_onnx(half, (indices, sizes + 4), ["indices", "sizes"], "logits", (BATCH, BATCH))
    program = torch.export.load(io.BytesIO(save_program(half, (indices, sizes + 4)))).module()
    received = (torch.randint(0, 4, (5, model.sub_vectors), dtype=torch.int32), sizes[:1].expand(5, -1) + 4)
    (found,) = ort.InferenceSession(graph).run(
        ["logits"], dict(zip(("indices", "sizes"), map(np.asarray, received), strict=True))
    )
    with torch.no_grad():
        expected = half(*received).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5)
        np.testing.assert_allclose(program(*received).numpy(), expected, atol=1e-5)
