"""EfficientNet-Lite2: the published weights, whole and cut."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from training.backbones import BACKBONES
from training.backbones.efficientnet_lite import BLOCKS, CUTS, SameConv
from training.network import SplitNetwork
from training.recipe import Recipe, checked_recipe
from wire.exceptions import RecipeError

LITE = BACKBONES["efficientnet-lite2"]
STAGE = {"epochs": 1, "pretrained_rate": 1e-3, "new_rate": 1e-3}


def recipe(**network: object) -> Recipe:
    values = {
        "name": "lite", "dataset": "none", "picture": 64, "stage1": STAGE, "stage3": STAGE,
        "network": {"backbone": "efficientnet-lite2", **network}, "codebook": {"family": "progressive"},
    }  # fmt: skip
    return checked_recipe(values, "lite")


@pytest.mark.parametrize(("side", "kernel"), [(32, 3), (33, 3), (32, 5), (35, 5)])
def test_padding_is_tensorflows(side: int, kernel: int) -> None:
    """The last row and column are padded first: of an even side, the first tap lies on the first sample."""
    conv = SameConv(1, 1, kernel, 2, bias=False)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, 0, kernel // 2 - (side + 1) % 2, kernel // 2 - (side + 1) % 2] = 1
        picture = torch.arange(side * side, dtype=torch.float32).reshape(1, 1, side, side)
        assert torch.equal(conv(picture), picture[..., ::2, ::2])


def test_the_two_halves_are_the_whole_with_the_published_weights() -> None:
    weights = LITE.pretrained(None)
    pictures = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        whole = LITE.uncut(weights).eval()(pictures)
        for cut in (CUTS[0], 8, CUTS[-1]):
            edge, server = LITE.halves(recipe(cut=cut).network, 96, weights)
            middle = edge.eval()(pictures)
            assert middle.shape[1] == LITE.channels(recipe(cut=cut).network) == BLOCKS[cut - 1][2]
            torch.testing.assert_close(server.eval()(middle), whole)


def test_its_operations_are_those_published() -> None:
    """About 860 million multiply-adds at 260 pixels (the README of EfficientNet-Lite)."""
    whole = LITE.uncut(LITE.pretrained(None)).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        whole(torch.zeros(1, 3, 260, 260))
    assert counter.get_total_flops() / 2e6 == pytest.approx(860, rel=0.02)


def test_operations_of_both_halves_are_counted() -> None:
    shallow, deep = (SplitNetwork(recipe(cut=cut), 10, None).operations() for cut in (4, 15))
    assert shallow["edge_million_macs"] < deep["edge_million_macs"]
    assert shallow["server_million_macs"] > deep["server_million_macs"]


def test_a_cut_that_it_does_not_have() -> None:
    with pytest.raises(Exception, match=r"network\.cut = 21 must be from 1 to 20"):
        recipe(cut=21)


def test_a_teacher_of_another_network_is_other_views_and_an_unnamed_one_has_the_key_it_had() -> None:
    values = recipe().model_dump()
    keys = {
        checked_recipe({**values, "teacher": teacher}, "lite").views_key()
        for teacher in ({}, {"view": 224}, {"network": "mobilenet_v2"})
    }
    assert len(keys) == 3
    assert "network" not in checked_recipe({**values, "teacher": {}}, "lite").model_dump()["teacher"]


def test_residual_blocks_can_be_left_out_of_the_edge_half() -> None:
    weights, pictures = LITE.pretrained(None), torch.rand(1, 3, 64, 64)
    edge, server = LITE.halves(recipe(cut=8, skipped=(4, 6, 7)).network, 64, weights)
    whole, same = LITE.halves(recipe(cut=8).network, 64, weights)
    assert isinstance(edge, torch.nn.Sequential) and isinstance(whole, torch.nn.Sequential)
    with torch.no_grad():
        wanted = pictures
        for n, layer in enumerate(whole.eval()):
            wanted = wanted if n in (7, 9, 10) else layer(wanted)
        assert torch.equal(edge.eval()(pictures), wanted)
    assert len(list(server.parameters())) == len(list(same.parameters()))
    assert LITE.residual == {3, 4, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19, 20}


@pytest.mark.parametrize("network", [{"skipped": (5,)}, {"skipped": (9,)}, {"skipped": (3,), "frozen": 3}])
def test_only_residual_blocks_that_are_trained_on_the_edge_can_be_left_out(network: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match=r"network\.skipped has .* only residual blocks can be left out"):
        recipe(cut=8, **network)
