import io
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from training.codebooks import (
    Codebook,
    NestedCodebook,
    ProgressiveCodebook,
    at_allocation,
    build_codebook,
    from_sub_vectors,
    lookup,
    to_sub_vectors,
)
from training.lbg import split_codewords, two_means
from training.recipe import CodebookRecipe

GROUPS, D = 8, 2
FAMILIES = ("progressive", "residual", "nested", "mixed", "fixed")


def started(family: str, **options: Any) -> ProgressiveCodebook | NestedCodebook:
    torch.manual_seed(3)
    recipe = CodebookRecipe(family=family, d=D, max_level=8, **options)  # type: ignore[arg-type]
    codebook, x = build_codebook(recipe, GROUPS * D), torch.randn(6000, GROUPS, D)
    for level in codebook.levels:
        codebook.extend(x, level)
    return codebook


def encode(codebook: Codebook, x: Tensor, level: int) -> Tensor:
    return codebook.encode(x, torch.tensor(level))


def decode(codebook: Codebook, index: Tensor, level: int) -> Tensor:
    return lookup(*codebook.table(), index, torch.full((len(index),), level))


@pytest.mark.parametrize("family", FAMILIES)
def test_quantise_is_encode_and_lookup(family: str) -> None:
    codebook, x = started(family), torch.randn(500, GROUPS, D)
    for level, vectors in codebook.quantise(x, codebook.levels).items():
        torch.testing.assert_close(vectors, decode(codebook, encode(codebook, x, level), level))


@pytest.mark.parametrize("family", FAMILIES)
def test_more_bits_are_more_exact(family: str) -> None:
    codebook, x = started(family), torch.randn(4000, GROUPS, D)
    errors = [(x - z).square().mean().item() for z in codebook.quantise(x, codebook.levels).values()]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.05


@pytest.mark.parametrize("family", ["progressive", "residual"])
def test_progressive_indices_are_prefixes(family: str) -> None:
    codebook, x = started(family), torch.randn(4000, GROUPS, D)
    top = encode(codebook, x, 8)
    for level in range(1, 9):
        assert torch.equal(encode(codebook, x, level), top >> (8 - level))


def test_one_codebook_can_serve_all_groups() -> None:
    for family in ("progressive", "nested"):
        codebook, x = started(family, shared=True), torch.randn(50, GROUPS, D)
        table, _ = codebook.table()
        assert all(torch.equal(table[0], table[g]) for g in range(GROUPS))
        same = x[:, :1].expand(-1, GROUPS, -1)
        assert (encode(codebook, same, 5) == encode(codebook, same, 5)[:, :1]).all()


def test_an_allocation_gives_each_segment_its_level() -> None:
    codebook, x = started("mixed"), torch.randn(50, GROUPS, D)
    z = codebook.quantise(x, (0, 1, 3))
    mixed = at_allocation(z, (3, 3, 1, 0))
    assert torch.equal(mixed[:, :4], z[3][:, :4])
    assert torch.equal(mixed[:, 4:6], z[1][:, 4:6])
    assert (mixed[:, 6:] == mixed[:1, 6:]).all()  # nothing is sent of it, so all pictures have the same there


def test_eta_counts_how_far_earlier_codewords_moved() -> None:
    codebook = started("nested")
    assert float(codebook.moved(8).detach()) == 0
    with torch.no_grad():
        codebook.codewords[0, 0] += 2
        codebook.codewords[0, 200] += 2
    assert float(codebook.moved(8).detach()) == pytest.approx(8)  # two components of the one below level 8


def test_nested_levels_use_the_first_codewords_and_the_nearest_of_them() -> None:
    codebook, x = started("nested"), torch.randn(300, GROUPS, D)
    codewords, _ = codebook.table()
    for level in codebook.levels:
        distance = (x[:, :, None] - codewords[None, :, : 2**level]).square().sum(-1)
        chosen = distance.gather(2, encode(codebook, x, level)[..., None])[..., 0]
        torch.testing.assert_close(chosen, distance.min(2).values, atol=1e-5, rtol=0)


def test_gradients_of_the_vq_loss_reach_codewords_alone() -> None:
    for family in FAMILIES:
        codebook, x = started(family), torch.randn(100, GROUPS, D, requires_grad=True)
        torch.stack([z.square().sum() for z in codebook.quantise(x, codebook.levels).values()]).sum().backward()
        assert x.grad is None
        assert all(p.grad is not None for p in codebook.parameters())  # type: ignore[attr-defined]


class _Quantiser(nn.Module):
    def __init__(self, codebook: Codebook) -> None:
        super().__init__()
        self.codebook = codebook

    def forward(self, latent: Tensor, level: Tensor) -> Tensor:
        return self.codebook.encode(to_sub_vectors(latent, D), level)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", ["progressive", "nested"])
def test_torch_and_onnx_give_the_same_indices_on_10000_latents(family: str) -> None:
    """But for exact ties, whose two codewords are equally near."""
    codebook = started(family)
    module, latent = _Quantiser(codebook), torch.randn(2, GROUPS * D, 4, 4)
    program = torch.onnx.export(
        module, (latent, torch.tensor(8)), dynamo=True, input_names=["latent", "level"], opset_version=18,
        dynamic_shapes=({0: torch.export.Dim("batch")}, None), verbose=False,
    )  # fmt: skip
    file = io.BytesIO()
    assert program is not None
    program.save(file)
    session = ort.InferenceSession(file.getvalue())
    differing = 0
    for chunk in range(20):
        level, latents = 1 + chunk % 8, torch.randn(500, GROUPS * D, 4, 4)
        (theirs,) = session.run(None, {"latent": latents.numpy(), "level": np.array(level)})
        with torch.no_grad():
            ours = module(latents, torch.tensor(level))
            unequal = (ours != torch.from_numpy(theirs)).any(1)
            differing += int(unequal.sum())
            x = to_sub_vectors(latents, D)[unequal]
            one, other = (
                (x - decode(codebook, i[unequal], level)).square().sum(-1) for i in (ours, torch.from_numpy(theirs))
            )
            if family == "nested":
                torch.testing.assert_close(one, other, atol=1e-4, rtol=0)
    assert differing <= 1e-5 * 10_000 * 16 * GROUPS


def test_sub_vectors_are_in_the_order_of_the_wire() -> None:
    latent = torch.arange(2 * 4 * 3 * 5).reshape(2, 4, 3, 5)
    x = to_sub_vectors(latent, 2)
    assert x.shape == (30, 2, 2)
    assert x[1 * 5 + 4, 1].tolist() == latent[0, 2:4, 1, 4].tolist()
    assert torch.equal(from_sub_vectors(x, (4, 3, 5)), latent)


def test_lbg_keeps_earlier_codewords() -> None:
    torch.manual_seed(0)
    x = torch.randn(5000, 2)

    def grown(bits: int, keep: bool) -> Tensor:
        codewords = split_codewords(x, None, keep=keep)
        for _ in range(1, bits):
            codewords = split_codewords(x, codewords, keep=keep)
        return codewords

    torch.testing.assert_close(grown(3, keep=True)[:4], grown(2, keep=True))
    error = [float(torch.cdist(x, grown(5, keep)).min(1).values.square().mean()) for keep in (True, False)]
    assert error[1] <= error[0] <= 2 * error[1]


def test_two_means_finds_two_clusters() -> None:
    torch.manual_seed(0)
    x = torch.cat([torch.randn(1000, 2) * 0.1 + 3, torch.randn(1000, 2) * 0.1 - 3])
    assert sorted(two_means(x)[:, 0].round().tolist()) == [-3, 3]
