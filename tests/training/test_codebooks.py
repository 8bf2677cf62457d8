import copy
import io
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from training.codebooks import CODEBOOKS, Codebook, build_codebook
from training.codebooks.nested import NestedCodebook
from training.codebooks.ops import Dequantiser, at_point, from_sub_vectors, lookup, segment_of_group, to_sub_vectors
from training.lbg import greedy_order, split_codewords, two_means
from training.recipe import CodebookRecipe
from wire.manifest import block_bytes

GROUPS, D = 8, 2
FAMILIES = tuple(CODEBOOKS)


def started(family: str, **options: Any) -> Codebook:
    """A codebook whose codewords are placed, for the test to change."""
    return copy.deepcopy(_placed(family, tuple(options.items())))


@cache
def _placed(family: str, options: tuple[tuple[str, Any], ...]) -> Codebook:
    torch.manual_seed(3)
    recipe = CodebookRecipe(family=family, d=D, max_level=8, **dict(options))
    codebook, x = build_codebook(recipe, GROUPS * D), torch.randn(3000, GROUPS, D)
    for size in codebook.sizes:
        codebook.extend(x, size)
    return codebook


def encode(codebook: Codebook, x: Tensor, *sizes: int) -> Tensor:
    """At one size for all groups, or at one for each."""
    return codebook.encode(x, torch.tensor(sizes).expand(GROUPS))


def decode(codebook: Codebook, index: Tensor, *sizes: int) -> Tensor:
    return lookup(*codebook.table(), index, torch.tensor(sizes).expand(GROUPS))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_quantise_is_encode_and_lookup(family: str) -> None:
    codebook, x = started(family), torch.randn(500, GROUPS, D)
    for size, vectors in codebook.quantise(x, (1, *codebook.sizes)).items():
        index = encode(codebook, x, size)
        assert int(index.max()) < size
        torch.testing.assert_close(vectors, decode(codebook, index, size))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_groups_of_different_sizes_are_encoded_each_at_its_own(family: str) -> None:
    codebook, x = started(family), torch.randn(500, GROUPS, D)
    sizes = (1, 2, 4, 8, 16, 64, 128, 256)
    index = encode(codebook, x, *sizes)
    assert not index[:, 0].any()
    for g, size in enumerate(sizes):
        assert torch.equal(index[:, g], encode(codebook, x, size)[:, g])
    z = codebook.quantise(x, sizes)
    torch.testing.assert_close(decode(codebook, index, *sizes), at_point(z, sizes, (1,) * GROUPS))


@pytest.mark.slow
@pytest.mark.parametrize("size", [3, 5, 100, 255])
def test_nested_sizes_need_not_be_powers_of_two(size: int) -> None:
    codebook, x = started("nested"), torch.randn(500, GROUPS, D)
    index = encode(codebook, x, size)
    assert int(index.max()) < size
    torch.testing.assert_close(codebook.quantise(x, [size])[size], decode(codebook, index, size))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_more_bits_are_more_exact(family: str) -> None:
    codebook, x = started(family), torch.randn(4000, GROUPS, D)
    errors = [(x - z).square().mean().item() for z in codebook.quantise(x, (1, *codebook.sizes)).values()]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.05


@pytest.mark.parametrize("family", [family for family, member in CODEBOOKS.items() if member.refinable])
def test_indices_of_refinable_families_are_prefixes(family: str) -> None:
    codebook, x = started(family), torch.randn(4000, GROUPS, D)
    top = encode(codebook, x, 256)
    for level in range(9):
        assert torch.equal(encode(codebook, x, 2**level), top >> (8 - level))


def test_one_codebook_can_serve_all_groups() -> None:
    for family in ("progressive", "nested"):
        codebook, x = started(family, shared=True), torch.randn(50, GROUPS, D)
        table, _ = codebook.table()
        assert all(torch.equal(table[0], table[g]) for g in range(GROUPS))
        same = x[:, :1].expand(-1, GROUPS, -1)
        assert (encode(codebook, same, 32) == encode(codebook, same, 32)[:, :1]).all()


@pytest.mark.slow
def test_where_nothing_is_sent_all_pictures_have_the_same() -> None:
    for family in FAMILIES:
        z = started(family).quantise(torch.randn(50, GROUPS, D), (1, 256))
        assert (z[1] == z[1][:1]).all()


def test_the_dequantiser_mixes_points_in_a_batch() -> None:
    codebook, x = started("mixed"), torch.randn(2 * 6, GROUPS, D)
    assert codebook.segments == (2, 2, 2, 2)
    of_pictures = torch.tensor([[4, 1, 256, 2], [256, 256, 1, 8]], dtype=torch.int32)
    index = torch.cat([
        codebook.encode(part, sizes[segment_of_group(codebook.segments)].long())
        for part, sizes in zip(x.split(6), of_pictures, strict=True)
    ])  # fmt: skip
    module = Dequantiser(*codebook.table(), codebook.segments)
    found = module(index.reshape(2, -1).int(), of_pictures)
    for vectors, part, sizes in zip(found, x.split(6), of_pictures.tolist(), strict=True):
        torch.testing.assert_close(vectors, at_point(codebook.quantise(part, sizes), sizes, codebook.segments))


def test_mixed_points_share_the_bits_by_what_segments_lose() -> None:
    codebook = build_codebook(CodebookRecipe(family="mixed", segments=4, least=2), GROUPS * D)
    asked = []

    def distortion(sizes: Sequence[int]) -> Tensor:
        asked.append(sizes)
        return torch.tensor([[weight / size**2 for size in sizes] for weight in (1000.0, 10.0, 1.0, 0.1)])

    codebook.share_bits(distortion)
    points = codebook.points()
    assert asked == [(1, 2, 4, 8, 16, 32, 64, 128, 256)]
    assert points[0] == (4, 1, 1, 1) and points[-1] == (256,) * 4 and len(points) == 31


def test_a_chain_leads_through_every_level_and_begins_with_what_costs_most() -> None:
    codebook = build_codebook(CodebookRecipe(family="progressive", max_level=2), 3 * D)
    costs = torch.tensor([[3.0, 2.5, 0.0], [9.0, 2.0, 1.5], [7.0, 1.0, 0.9]])
    codebook.share_bits(lambda sizes: costs if sizes == (1, 2, 4) else torch.zeros(0))
    assert codebook.prefixes() == [(1, 2, 1), (1, 2, 2), (2, 2, 2), (4, 2, 2), (4, 4, 2), (4, 4, 4)]
    again = build_codebook(CodebookRecipe(family="progressive", max_level=2), 3 * D)
    again.load_state_dict(codebook.state_dict())
    assert again.prefixes() == codebook.prefixes()


@pytest.mark.slow
def test_one_table_is_the_codebook_of_every_size() -> None:
    codebook, x = started("rate-adaptive"), torch.randn(500, GROUPS, D)
    table, starts = codebook.table()
    for size, vectors in codebook.quantise(x, range(1, 257, 17)).items():
        rows = table[:, starts[size] : starts[size] + size]
        nearest = torch.cdist(x.transpose(0, 1), rows).min(2).values.transpose(0, 1)
        torch.testing.assert_close((x - vectors).norm(dim=2), nearest, atol=1e-4, rtol=0)


def test_each_row_of_the_table_is_worth_more_than_those_after_it() -> None:
    codebook, x = started("rate-adaptive"), torch.randn(4000, GROUPS, D)
    sizes = range(2, 257)
    errors = [(x - z).square().mean().item() for z in codebook.quantise(x, sizes).values()]
    gains = -np.diff(errors)
    assert (gains >= 0).all()
    assert gains[:8].mean() > 4 * gains[32:64].mean() > 16 * gains[200:].mean()


def test_each_step_draws_a_size_of_every_octave_beside_the_powers_of_two() -> None:
    codebook = build_codebook(CodebookRecipe(family="rate-adaptive", max_level=10), GROUPS * D)
    torch.manual_seed(0)
    drawn = [codebook.drawn_sizes() for _ in range(200)]
    assert all(sizes[0] == 2 and sizes[-1] == 1024 for sizes in drawn)
    assert all({2**level for level in range(1, 11)} <= set(sizes) for sizes in drawn)
    assert all(max(Counter(size.bit_length() for size in sizes).values()) <= 2 for sizes in drawn)
    assert len({sizes[-2] for sizes in drawn}) > 100


def test_rate_adaptive_points_are_for_every_budget_and_of_equal_sizes() -> None:
    codebook = build_codebook(CodebookRecipe(family="rate-adaptive", max_level=10, segments=8), GROUPS * D)
    codebook.share_bits(lambda sizes: torch.tensor([[weight / k for k in sizes] for weight in (20.0, *[1.0] * 7)]))
    points = codebook.points()
    costs = [block_bytes([64] * 8, point) for point in points]
    assert costs == sorted(costs) and costs[0] == 8 and costs[-1] == 640
    assert set(range(32, 641)) - set(costs) == set()
    assert {(2**level,) * 8 for level in range(1, 11)} <= set(points)
    assert points[0] == (2, *[1] * 7)
    again = build_codebook(CodebookRecipe(family="rate-adaptive", max_level=10, segments=8), GROUPS * D)
    again.load_state_dict(codebook.state_dict())
    assert again.points() == points


@pytest.mark.slow
def test_eta_counts_how_far_earlier_codewords_moved() -> None:
    codebook = started("nested")
    assert isinstance(codebook, NestedCodebook)
    assert float(codebook.moved(256).detach()) == 0
    with torch.no_grad():
        codebook.codewords[0, 0] += 2
        codebook.codewords[0, 200] += 2
    assert float(codebook.moved(256).detach()) == pytest.approx(8)  # two components of the one below 128


def test_nested_levels_use_the_first_codewords_and_the_nearest_of_them() -> None:
    codebook, x = started("nested"), torch.randn(300, GROUPS, D)
    codewords = codebook.table()[0][:, 1:]
    for size in codebook.sizes:
        distance = (x[:, :, None] - codewords[None, :, :size]).square().sum(-1)
        chosen = distance.gather(2, encode(codebook, x, size)[..., None])[..., 0]
        torch.testing.assert_close(chosen, distance.min(2).values, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_gradients_of_the_vq_loss_reach_codewords_alone() -> None:
    for family in FAMILIES:
        codebook, x = started(family), torch.randn(100, GROUPS, D, requires_grad=True)
        torch.stack([z.square().sum() for z in codebook.quantise(x, codebook.sizes).values()]).sum().backward()
        assert x.grad is None
        assert all(p.grad is not None for p in codebook.parameters())


class _Quantiser(nn.Module):
    def __init__(self, codebook: Codebook) -> None:
        super().__init__()
        self.codebook = codebook

    def forward(self, latent: Tensor, sizes: Tensor) -> Tensor:
        return self.codebook.encode(to_sub_vectors(latent, D), sizes)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", ["progressive", "nested"])
def test_torch_and_onnx_give_the_same_indices_on_10000_latents(family: str) -> None:
    """But for exact ties, whose two codewords are equally near."""
    codebook = started(family)
    module, latent = _Quantiser(codebook), torch.randn(2, GROUPS * D, 4, 4)
    program = torch.onnx.export(
        module, (latent, torch.full((GROUPS,), 256)), dynamo=True, input_names=["latent", "sizes"], opset_version=18,
        dynamic_shapes=({0: torch.export.Dim("batch")}, None), verbose=False,
    )  # fmt: skip
    file = io.BytesIO()
    assert program is not None
    program.save(file)
    session = ort.InferenceSession(file.getvalue())
    differing = 0
    for _ in range(20):
        sizes, latents = 2 ** torch.randint(9, (GROUPS,)), torch.randn(500, GROUPS * D, 4, 4)
        (theirs,) = session.run(None, {"latent": latents.numpy(), "sizes": sizes.numpy()})
        with torch.no_grad():
            ours = module(latents, sizes)
            unequal = (ours != torch.from_numpy(theirs)).any(1)
            differing += int(unequal.sum())
            x = to_sub_vectors(latents, D)[unequal]
            one, other = (
                (x - decode(codebook, i[unequal], *sizes.tolist())).square().sum(-1)
                for i in (ours, torch.from_numpy(theirs))
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


def test_the_greedy_order_begins_with_the_best_pair_and_adds_what_lowers_the_distortion_most() -> None:
    torch.manual_seed(0)
    x = torch.cat([torch.randn(400, 2) * 0.2 + 3, torch.randn(400, 2) * 0.2 - 3, torch.randn(100, 2) * 0.2])
    codewords = torch.tensor([[0.0, 0.0], [3.0, 3.0], [3.1, 3.1], [-3.0, -3.0]])
    order = greedy_order(x, codewords).tolist()
    assert order[0] in (1, 2) and order[1] == 3
    assert order[2] == 0 and sorted(order) == [0, 1, 2, 3]
