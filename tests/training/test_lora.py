"""Adapters of low rank: nothing at first, merged or apart alike, and all that is trained."""

import pytest
import torch
from torch import nn

from training.backbones.transformer import Block
from training.lora import LowRank, adapt_attention


def test_merged_or_apart_it_computes_the_same_and_begins_as_the_layer_it_adapts() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(12, 36), torch.randn(5, 12)
    adapted = LowRank(layer, 4)
    torch.testing.assert_close(adapted(x), layer(x))
    with torch.no_grad():
        adapted.up.normal_()
    apart, merged = adapted.train()(x), adapted.eval()(x)
    torch.testing.assert_close(apart, merged)
    assert not torch.allclose(merged, layer(x))
    assert torch.linalg.matrix_rank(adapted.up @ adapted.down) == 4


def test_only_adapters_are_trained() -> None:
    torch.manual_seed(0)
    half, x = nn.Sequential(Block(12, 3), Block(12, 3)), torch.randn(2, 4, 12)
    before = {name: value.clone() for name, value in half.state_dict().items()}
    adapt_attention(half, 2)
    trained = {name for name, p in half.named_parameters() if p.requires_grad}
    assert trained == {f"{block}.attn.qkv.{part}" for block in (0, 1) for part in ("down", "up")}
    optimiser = torch.optim.SGD([p for p in half.parameters() if p.requires_grad], 0.1)
    for _ in range(2):
        optimiser.zero_grad()
        half(x).square().sum().backward()
        optimiser.step()
    after = half.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all(after[name].any() for name in trained)


@pytest.mark.parametrize("rank", [1, 8])
def test_its_size_is_that_of_the_rank(rank: int) -> None:
    adapted = LowRank(nn.Linear(384, 1152), rank)
    assert sum(p.numel() for p in (adapted.up, adapted.down)) == rank * (384 + 1152)
