"""Rows whose quantiser stands elsewhere: what each network begins as, and what goes round its quantiser."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from benchmarks.accuracy.aligned import PROFILE
from benchmarks.accuracy.placing import SIDE, Unmixed, adopt, cosines
from benchmarks.accuracy.rows import RESHAPED, recipe_of
from training.codebooks.ops import at_point, from_sub_vectors, to_sub_vectors
from training.model import RateModel
from training.network import SplitNetwork
from training.recipe import Recipe, checked_recipe

CLASSES, WIDTH = 10, 96


def recipe(row: str, channels: int) -> Recipe:
    """Of a row, with a latent so wide that nothing is lost unless it is quantised."""
    values = recipe_of(f"{PROFILE}/{row}/0").model_dump(exclude_none=True)
    values["network"] |= {"latent_channels": channels, "weights": "random"}
    values["codebook"] |= {"max_level": 2}
    return checked_recipe(values, row)


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    torch.manual_seed(1)
    return torch.rand(8, 3, 32, 32).repeat_interleave(4, 2)[..., :112, :].repeat_interleave(4, 3)[..., :112]


@pytest.fixture(scope="module")
def trained(pictures: Tensor) -> SplitNetwork:
    """As after stage 1: statistics and projections are those of pictures."""
    torch.manual_seed(0)
    network = RateModel(recipe("linear", WIDTH), CLASSES, None).network
    network.initialise_from_pca(pictures)
    nn.init.normal_(network.head.weight)  # type: ignore[arg-type]
    return network.eval()


def adopted(row: str, channels: int, trained: SplitNetwork, pictures: Tensor) -> RateModel:
    torch.manual_seed(2)
    model = RateModel(recipe(row, channels), CLASSES, None)
    adopt(model.network, trained, pictures)
    return model.eval()


@pytest.mark.parametrize("row", RESHAPED)
def test_each_begins_as_what_was_trained_and_only_x_beside_goes_round_the_quantiser(
    row: str, trained: SplitNetwork, pictures: Tensor
) -> None:
    """Where something of the first block is left out by design, it begins as another function."""
    model = adopted(row, 0 if row == "none" else WIDTH, trained, pictures)
    beside = row.endswith("beside-x")
    with torch.no_grad():
        wanted = trained.decode(trained.encode(pictures))
        found = model(pictures, ())
        if beside or row in (
            "none",
            "prefix",
        ):  # what is sent has half of the block's dimensions, where it stands there
            torch.testing.assert_close(found, wanted, atol=(0.2 if beside else 0.02) * float(wanted.std()), rtol=0)
        x = model.sub_vectors_of(pictures)
        nothing = model.decode(torch.zeros_like(x))
        twice = model.decode(torch.cat([x, x]))
    assert torch.equal(nothing[0], nothing[1]) != beside
    torch.testing.assert_close(twice, found.repeat(2, 1), atol=1e-4, rtol=1e-4)


def test_without_adapters_the_pretrained_half_learns_nothing() -> None:
    for row, expected in (("adapters", {"down", "up"}), ("no-adapters", set())):
        network = RateModel(recipe_of(f"imagewoof112-vit/{row}/0"), CLASSES, None).network
        learns = {name.rpartition(".")[2] for name, p in network.trunk_server.named_parameters() if p.requires_grad}
        assert learns == expected, row
        assert all(p.requires_grad for p in [*network.head.parameters(), *network.trunk_edge.parameters()])


def test_a_prefix_of_tokens_is_the_coarse_picture(trained: SplitNetwork, pictures: Tensor) -> None:
    model = adopted("prefix", WIDTH, trained, pictures)
    expand, x = model.network.expand, model.sub_vectors_of(pictures)
    assert isinstance(expand, Unmixed)
    with torch.no_grad():
        whole = expand(from_sub_vectors(x, model.network.latent_shape))
        errors = []
        for side in range(1, SIDE + 1):
            expand.tokens = side * side
            errors.append(float((expand(from_sub_vectors(x, model.network.latent_shape)) - whole).square().mean()))
    assert errors == sorted(errors, reverse=True) and errors[-1] == 0 < errors[-2]
    torch.testing.assert_close(cosines(SIDE) @ cosines(SIDE).T, torch.eye(SIDE * SIDE), atol=1e-5, rtol=0)
    torch.testing.assert_close(cosines(SIDE)[0], torch.full((SIDE * SIDE,), 1 / SIDE))


def test_rows_learn_with_the_quantiser_where_it_stands(trained: SplitNetwork, pictures: Tensor) -> None:
    """All projections and mixtures get gradients; what nothing aligns gets none."""
    for row, expected in (("prefix", True), ("after-attn", True), ("none", False)):
        model = adopted(row, 0 if row == "none" else WIDTH, trained, pictures).train()
        x = model.sub_vectors_of(pictures)
        model.codebook.extend(x.detach(), 2)
        z = model.codebook.quantise(x, [2])
        vectors = at_point({2: x + (z[2] - x).detach()}, (2,) * len(model.codebook.segments), model.codebook.segments)
        model.decode(vectors).square().mean().backward()
        assert (model.network.expand.weight.grad is not None) == expected, row
        assert to_sub_vectors(model.network.encode(pictures), model.recipe.codebook.d).shape == x.shape
        assert copy.deepcopy(model).state_dict().keys() == model.state_dict().keys()  # which is averaged in training
        if row == "prefix":
            grads = (model.network.align.mixtures.grad, model.network.expand.positions.grad)  # type: ignore[union-attr]
            assert all(grad is not None and grad.any() for grad in grads)
