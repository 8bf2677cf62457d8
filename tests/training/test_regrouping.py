"""Codebooks of other sizes from one that is trained."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from training.regrouping import LEAST_BASE, dkm, ikm
from wire.exceptions import UsageError


def base(size: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Codewords (2, size, 2), and how often each is used."""
    torch.manual_seed(seed)
    return torch.randn(2, size, 2), torch.rand(2, size) ** 2 * 100 + 1


def loss(codewords: Tensor, used: Tensor, centres: Tensor) -> Tensor:
    """Of each group: what its codewords, as often as they are used, lose by the nearest centre."""
    return (torch.cdist(codewords, centres).square().amin(-1) * used).sum(-1)


@pytest.mark.parametrize("size", [1, 2, 7, 31, 32])
def test_groups_are_at_a_minimum_of_what_they_lose(size: int) -> None:
    codewords, used = base(32)
    centres = dkm(codewords, used, size)
    assert centres.shape == (2, size, 2)
    nearest = torch.cdist(codewords, centres).argmin(-1)
    for group in range(2):
        for centre in nearest[group].unique():  # each centre is the mean of its group, by use
            own = nearest[group] == centre
            mean = (codewords[group, own] * used[group, own, None]).sum(0) / used[group, own].sum()
            torch.testing.assert_close(centres[group, centre], mean, atol=1e-3, rtol=1e-3)


def test_of_one_group_the_centre_is_the_mean_and_of_all_each_is_its_own() -> None:
    codewords, used = base(16)
    mean = (codewords * used[..., None]).sum(1, keepdim=True) / used.sum(1)[:, None, None]
    torch.testing.assert_close(dkm(codewords, used, 1), mean)
    assert float(loss(codewords, used, dkm(codewords, used, 16)).max()) < 1e-6


def test_groups_lose_less_than_codewords_at_random_and_less_with_each_more() -> None:
    codewords, used = base(128)
    found = {size: loss(codewords, used, dkm(codewords, used, size)) for size in (4, 8, 16, 37, 64)}
    for size, lost in found.items():
        rows = torch.randperm(128)[:size]
        assert (lost < 0.8 * loss(codewords, used, codewords[:, rows])).all()
    assert [float(lost.sum()) for lost in found.values()] == sorted(
        (float(x.sum()) for x in found.values()), reverse=True
    )


@pytest.mark.parametrize("size", [17, 40, 64])
def test_what_is_added_is_grouped_into_the_base_again(size: int) -> None:
    """IKM's inverse: the mean of what lies around a codeword is that codeword, but for a fraction of its cell."""
    codewords, used = base(16)
    found = ikm(codewords, used, size)
    assert found.shape == (2, size, 2) and torch.equal(found, ikm(codewords, used, size))
    apart = torch.cdist(codewords, codewords) + 99 * torch.eye(16)
    for group in range(2):
        nearest = torch.cdist(found[group], codewords[group]).argmin(-1)
        assert len(nearest.unique()) == 16
        means = torch.stack([found[group, nearest == k].mean(0) for k in range(16)])
        assert float(((means - codewords[group]).norm(dim=-1) / apart[group].amin(-1)).mean()) < 0.35


def test_more_codewords_of_a_normal_source_are_nearer_to_it() -> None:
    x = torch.randn(4000, 2, generator=torch.Generator().manual_seed(1))
    grid = torch.cartesian_prod(*[torch.linspace(-2, 2, 5)] * 2)[None]
    used = torch.bincount(torch.cdist(x, grid[0]).argmin(1), minlength=25)[None].float()
    errors = [float(torch.cdist(x, ikm(grid, used, size)[0]).amin(1).square().mean()) for size in (25, 50, 100, 400)]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.25 * errors[0]


def test_a_base_that_is_too_small_gets_a_sentence() -> None:
    with pytest.raises(UsageError, match="A base of 3 codewords is too small for IKM; take a model with 4 or more"):
        ikm(*base(LEAST_BASE - 1), 5)
