"""Rows of `ALIGNED` whose quantiser stands elsewhere, or nothing is aligned around it, or tokens are sent as a prefix.

All begin from the stage 1 of the row "linear": its network is kept whole, its narrow projections included, and what
stands around the quantiser begins as the best linear approximation of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.accuracy.rows import BESIDE, PLACES
from training.backbones import BACKBONES
from training.backbones.transformer import HEADS, WIDTH, Block, MobileNetV2Transformer, Tokens
from training.backbones.vit import VisionTransformer
from training.codebooks import CODEBOOKS
from training.codebooks.aligned import AlignedCodebook, TokenNorm

if TYPE_CHECKING:
    from training.network import SplitNetwork
    from training.recipe import CodebookRecipe, NetworkRecipe

SIDE = 7
"""Of the cut, in positions."""


class Edge(nn.Module):
    """The network as it was cut, and of its first block (B, 192, H, W) as much as stands before the quantiser.

    beside: what the paper's residual link has, and did not count: (B, N, 192), of the newest pictures.
    """

    beside: Tensor

    def __init__(self, features: nn.Module, place: str, width: int, channels: int) -> None:
        super().__init__()
        self.features, self.place = features, place
        self.narrow = nn.Sequential(
            TokenNorm(),
            nn.Conv2d(width, channels, 1, bias=False),
            nn.BatchNorm2d(channels, affine=False),
            nn.Conv2d(channels, width, 1),
        )
        self.tokens, self.block = Tokens(width, WIDTH), Block(WIDTH, HEADS)

    def __getstate__(self) -> dict[str, Any]:
        """A copy has seen no pictures: with gradients on their way, none of `beside` could be made."""
        return {name: value for name, value in self.__dict__.items() if name != "beside"}

    def forward(self, pictures: Tensor) -> Tensor:
        narrow = self.narrow(self.features(pictures))
        x, block = self.tokens(narrow), self.block
        found = block.norm1(x)
        if self.place != "LN1":
            found = block.attn(found)
        if self.place in ("LN2", "FFN"):
            x = x + found
            found = block.norm2(x)
        if self.place == "FFN":
            found = block.mlp(found)
        self.beside = x
        cut: Tensor = found.transpose(1, 2).unflatten(2, narrow.shape[2:])
        return cut


class Rest(nn.Module):
    """What of the first block stands behind the quantiser. Its stream begins with what was sent, or is `beside`."""

    def __init__(self, place: str, edge: Edge | None) -> None:
        super().__init__()
        self.place, self.block = place, Block(WIDTH, HEADS)
        self.exact = (edge,)
        """In a tuple, so that it is no part of this half; None where nothing goes round the quantiser."""

    def forward(self, sent: Tensor) -> Tensor:
        x, block, edge = sent.flatten(2).transpose(1, 2), self.block, self.exact[0]
        stream = x
        if edge is not None:  # of a batch that is decoded at several points, each of them has all pictures
            stream = edge.beside.repeat(len(x) // len(edge.beside), 1, 1)
        if self.place == "LN1":
            stream = stream + block.attn(x)
        elif self.place == "ATTN":
            stream = stream + x if edge is not None else x
        if self.place in ("LN1", "ATTN"):
            stream = stream + block.mlp(block.norm2(stream))
        elif self.place == "LN2":
            stream = stream + block.mlp(x)
        elif edge is not None:
            stream = stream + x
        return stream


class Placed(MobileNetV2Transformer):
    """The quantiser after LN1, LN2, ATTN or FFN of the first block."""

    def __init__(self, place: str, *, beside: bool) -> None:
        self.place, self.beside = place, beside

    def channels(self, network: NetworkRecipe) -> int:
        return WIDTH

    def halves(
        self, network: NetworkRecipe, picture: int, weights: dict[str, Tensor] | None
    ) -> tuple[nn.Module, nn.Module]:
        features, server = super().halves(network, picture, weights)
        assert isinstance(server, nn.Sequential)
        edge = Edge(features, self.place, super().channels(network), network.channels)
        return edge, nn.Sequential(Rest(self.place, edge if self.beside else None), *server[2:])


class AsItIs(VisionTransformer):
    """Its server half stays as it is pretrained."""

    def halves(
        self, network: NetworkRecipe, picture: int, weights: dict[str, Tensor] | None
    ) -> tuple[nn.Module, nn.Module]:
        edge, server = super().halves(network, picture, weights)
        return edge, server.requires_grad_(False)


class Bare(AlignedCodebook):
    """Linear projections alone: the norm, where there is one, is the block's."""

    @classmethod
    def projections(cls, recipe: CodebookRecipe, width: int, channels: int) -> tuple[nn.Module, nn.Conv2d, nn.Conv2d]:
        return nn.Identity(), nn.Conv2d(width, channels, 1, bias=False), nn.Conv2d(channels, width, 1)


class Unaligned(AlignedCodebook):
    """The quantiser between a LayerNorm and what undoes it on average: nothing around it is trained."""

    @classmethod
    def projections(cls, recipe: CodebookRecipe, width: int, channels: int) -> tuple[nn.Module, nn.Module, nn.Conv2d]:  # type: ignore[override]
        return TokenNorm(), nn.Identity(), nn.Conv2d(channels, width, 1).requires_grad_(False)


class Prefixed(AlignedCodebook):
    """Tokens that are mixtures of all positions, the coarsest first: the first m of them are trained as an answer, too.

    (As MQT-LLaVA's, arXiv 2405.19315, but that mixtures begin as a cosine transform, and not as attention.)
    """

    @classmethod
    def projections(cls, recipe: CodebookRecipe, width: int, channels: int) -> tuple[nn.Module, nn.Conv2d, nn.Conv2d]:
        return Mixed(width), nn.Conv2d(width, channels, 1, bias=False), Unmixed(channels, width)


class Mixed(TokenNorm):
    """LayerNorm of each position, and then mixtures of all of them about their mean, (B, C, H, W)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mixtures = nn.Parameter(torch.eye(SIDE**2))
        self.mean = nn.Parameter(torch.zeros(width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return mixed(super().forward(x) - self.mean, self.mixtures)


class Unmixed(nn.Conv2d):
    """Positions from the first `tokens` mixtures; in training from as many as each picture draws."""

    def __init__(self, given: int, found: int) -> None:
        super().__init__(given, found, 1)
        self.positions, self.tokens = nn.Parameter(torch.eye(SIDE**2)), SIDE**2

    def forward(self, x: Tensor) -> Tensor:
        count = torch.full((len(x), 1), self.tokens, device=x.device)
        if self.training:  # all half of the time, else log-uniformly
            drawn, few = torch.rand(2, len(x), 1, device=x.device)
            count = torch.where(few < 0.5, (SIDE**2) ** drawn, count)
        there = torch.arange(SIDE**2, device=x.device) < count.ceil()
        return super().forward(mixed(x * there.unflatten(1, (SIDE, SIDE))[:, None], self.positions))


def mixed(x: Tensor, weight: Tensor) -> Tensor:
    """Positions of x (B, C, H, W) mixed by weight (H·W, H·W)."""
    found: Tensor = F.linear(x.flatten(2), weight).unflatten(2, x.shape[2:])
    return found


def cosines(side: int) -> Tensor:
    """The orthonormal cosine transform of side × side positions, (side², side²): coarse rows first."""
    steps = torch.arange(side)
    waves = torch.cos(torch.pi / side * (steps[None] + 0.5) * steps[:, None]) * (2 / side) ** 0.5
    waves[0] /= 2**0.5
    order = sorted(range(side * side), key=lambda at: (sum(divmod(at, side)), at))
    return torch.kron(waves, waves)[order]


@torch.no_grad()
def adopt(network: SplitNetwork, trained: SplitNetwork, given: Tensor) -> None:
    """Has a row's network begin as what one of another shape was trained to. given: pictures, from its stem.

    Linear projections alone are taken over: the gates of the trained network are shut.
    """
    edge, server, of_server = network.trunk_edge, network.trunk_server, trained.trunk_server
    assert isinstance(server, nn.Sequential) and isinstance(of_server, nn.Sequential)
    around: list[nn.Module] = [trained.align, trained.bottleneck, trained.norm, trained.expand]
    pairs: list[tuple[nn.Module, nn.Module]] = [(network.head, trained.head)]
    if isinstance(edge, Edge):
        tokens, first, *others = of_server
        pairs += [(edge.features, trained.trunk_edge), (edge.tokens, tokens), (edge.block, first)]
        pairs += [*zip(edge.narrow, around, strict=True), (server[0].block, first)]  # type: ignore[list-item]
        pairs += zip(server[1:], others, strict=True)
    else:
        pairs += [(edge, trained.trunk_edge), (server, of_server)]
    if isinstance(network.align, Mixed):
        pairs += zip([network.bottleneck, network.norm], around[1:3], strict=True)
        pairs.append((network.expand, trained.expand))
    for mine, other in pairs:
        theirs = {name: value for name, value in other.state_dict().items() if name in mine.state_dict()}
        mine.load_state_dict({**mine.state_dict(), **theirs})
    network.eval()
    trained.eval()
    cut = edge(given)
    if isinstance(network.align, Mixed):
        begin_as_cosines(network, cut)
    elif isinstance(edge, Edge):
        network.fit_projections(cut, cut)
    else:
        network.fit_projections(cut, trained.expand(trained.encode(given, kept=True)))


@torch.no_grad()
def begin_as_cosines(network: SplitNetwork, cut: Tensor) -> None:
    """Has tokens begin as waves over the positions of the cut, each as strong as the others."""
    align, expand, norm = network.align, network.expand, network.norm
    assert isinstance(align, Mixed) and isinstance(expand, Unmixed) and isinstance(norm, nn.BatchNorm2d)
    align.mean.copy_(align(cut).mean((0, 2, 3))[:, None, None])
    assert norm.running_mean is not None
    norm.running_mean.zero_()
    transform, normed = cosines(SIDE).to(cut), align(cut)
    energy = mixed(normed, transform).square().mean((0, 1)).flatten()
    scale = (energy / energy.mean()).sqrt()
    align.mixtures.copy_(transform / scale[:, None])
    expand.positions.copy_(transform.T * scale)


for place in PLACES:
    BACKBONES.update({
        f"mobilenet_v2-transformer after {place}{BESIDE if beside else ''}": Placed(place, beside=beside)
        for beside in (False, True)
    })  # fmt: skip
BACKBONES["vit-small, as it is"] = AsItIs()
CODEBOOKS.update({"aligned-bare": Bare, "aligned-none": Unaligned, "aligned-prefix": Prefixed})
