"""The split network: a backbone, cut in two around a narrow, normalised latent, and the task's head.

Codebook families may bring their own normalisation and convolutions around the quantiser, in place of these.

picture ─ edge half ─ 1×1 conv ─ BatchNorm ─▶ latent ─ 3×3 conv ─ server half ─ head ─▶ output
    stem, trunk_edge  bottleneck   norm                 expand    trunk_server
└─────────────── encoder f_e ──────────────┘          └────────── decoder f_d ──────────┘

The stem is what of the edge half is not trained: nothing, enlarging the picture, blocks that are frozen.
Where the teacher's features at the cut are learnt from, the latent is enlarged to their grid, before it is expanded.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from training.backbones import BACKBONES
from training.backbones.transformer import keep_tokens
from training.codebooks import CODEBOOKS
from training.lora import adapt_attention
from training.recipe import NetworkRecipe, Recipe
from training.tasks import TASKS
from wire.manifest import Questions


class WholeBatchNorm(nn.Module):
    """The authors' normalisation, by one mean and deviation of the whole batch: answers depend on their company."""

    def forward(self, latent: Tensor) -> Tensor:
        return (latent - latent.mean()) / (latent.std() + 1e-5)


class SplitNetwork(nn.Module):
    """Encoder and decoder of one recipe. `latent_shape` is (C, H, W).

    classes, questions: of the data set. weights: the backbone's pretrained ones, None for random ones.
    """

    def __init__(
        self, recipe: Recipe, classes: int, weights: dict[str, Tensor] | None, questions: Questions | None = None
    ) -> None:
        super().__init__()
        task, self.questions = TASKS[recipe.task], questions
        network, backbone = recipe.network, BACKBONES[recipe.network.backbone]
        width, channels = backbone.channels(network), network.channels
        self.picture = recipe.picture
        self.server_is_new = backbone.server_is_new or network.lora is not None
        self.stem, self.trunk_edge, self.trunk_server = parts(network, recipe.picture, weights)
        if network.lora:
            adapt_attention(self.trunk_server, network.lora)
        if task.takes == "tokens":
            keep_tokens(self.trunk_server)
        projections = CODEBOOKS[recipe.codebook.family].projections(recipe.codebook, width, channels)
        self.align, self.bottleneck, self.expand = projections or convolutions(network, width)
        self.norm = nn.BatchNorm2d(channels, affine=False) if network.norm == "running" else WholeBatchNorm()
        self.head = task.head(backbone.features, classes, questions)
        with torch.no_grad():
            shape = self.eval().encode(self._blank_picture()).shape
            self.latent_shape: tuple[int, int, int] = (shape[1], shape[2], shape[3])
            self.enlarge: nn.Module = nn.Identity()
            if recipe.features and recipe.view != recipe.picture:
                grid = self.trunk_edge(self.stem(torch.zeros(1, 3, recipe.view, recipe.view))).shape[2:]
                self.enlarge = nn.Upsample(tuple(grid), mode="bilinear")
        self.train()

    def encode(self, pictures: Tensor, *, kept: bool = False) -> Tensor:
        """Pictures in 0..1, (B, 3, S, S), to the normalised latent (B, C, H, W).

        kept: these are what the stem gave of them.
        """
        given = pictures if kept else self.stem(pictures)
        latent: Tensor = self.norm(self.bottleneck(self.align(self.trunk_edge(given))))
        return latent

    def decode(self, latent: Tensor, *further: Tensor) -> Tensor:
        """The latent (B, C, H, W), quantised or not, and the task's further inputs to its output (B, …)."""
        output: Tensor = self.head(self.features(latent), *further)
        return output

    def features(self, latent: Tensor) -> Tensor:
        """What the task's head is given of the latent (B, C, H, W): (B, F), or tokens (B, N, F)."""
        found: Tensor = self.trunk_server(self.given(latent))
        return found

    def given(self, latent: Tensor) -> Tensor:
        """The latent (B, C, H, W) to what the server half is given, of the cut's channels."""
        found: Tensor = self.expand(self.enlarge(latent))
        return found

    def operations(self) -> dict[str, int]:
        """Multiply-accumulates of a picture, in millions, in each half."""
        found, latent = {}, (torch.zeros(1, *self.latent_shape), *self.blank_further(1))
        for half, run, given in (("edge", self.encode, (self._blank_picture(),)), ("server", self.decode, latent)):
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                run(*given)
            found[f"{half}_million_macs"] = round(counter.get_total_flops() / 2e6)
        return found

    def blank_further(self, count: int) -> tuple[Tensor, ...]:
        """Further inputs of `decode` that say nothing, for so many pictures."""
        return () if self.questions is None else (torch.zeros(count, self.questions.longest, dtype=torch.int32),)

    def new_parameters(self) -> list[nn.Parameter]:
        """Parameters without pretrained weights: they take the larger learning rate."""
        new = [p for m in (self.bottleneck, self.expand, self.head) for p in m.parameters()]
        return new + (list(self.trunk_server.parameters()) if self.server_is_new else [])

    @torch.no_grad()
    def initialise_from_pca(self, given: Tensor, target: Tensor | None = None) -> None:
        """Makes the pretrained network a good start, from what the stem gives of a few hundred training pictures.

        Each BatchNorm gets the statistics of its input without changing the function; then the
        bottleneck starts as the principal components of the cut's output, so that decode(encode(x))
        starts as the best linear approximation of the uncut network. target: what the server half
        is to be given in place of the cut's output, (B, C, H, W).
        """
        self.eval()
        unfold_batch_norms(nn.Sequential(self.trunk_edge, nn.Identity()), given)
        cut = self.trunk_edge(given)
        self.fit_projections(cut, cut if target is None else target)
        unfold_batch_norms(self.trunk_server, self.given(self.encode(given, kept=True)))
        self.train()

    @torch.no_grad()
    def fit_projections(self, cut: Tensor, target: Tensor) -> None:
        """Makes what stands around the quantiser the best linear approximation of a target of the cut, (B, C, H, W).

        Where the bottleneck is a convolution, by the cut's principal components; target: of each position.
        """
        aligned = self.align(cut)
        if isinstance(self.bottleneck, nn.Conv2d):
            flat = _by_channel(aligned[:, : self.bottleneck.in_channels])
            components = torch.linalg.eigh(torch.cov(flat))[1].flip(1)[:, : self.bottleneck.out_channels]
            self.bottleneck.weight.copy_(components.T[..., None, None])
        narrow = self.bottleneck(aligned)
        if isinstance(self.norm, nn.BatchNorm2d):
            assert self.norm.running_mean is not None and self.norm.running_var is not None
            statistics = _by_channel(narrow)
            self.norm.running_mean.copy_(statistics.mean(1))
            self.norm.running_var.copy_(statistics.var(1))
        wanted, latent = _by_channel(target), _by_channel(self.enlarge(self.norm(narrow)))
        mean, middle = wanted.mean(1), latent.mean(1)
        latent = latent - middle[:, None]
        squares = latent @ latent.T + 1e-6 * latent.shape[1] * torch.eye(len(latent)).to(latent)  # of deviations of 1
        found = torch.linalg.solve(squares, latent @ (wanted - mean[:, None]).T).T
        self.expand.weight.zero_()
        centre = self.expand.kernel_size[0] // 2
        self.expand.weight[:, :, centre, centre] = found.float()
        assert self.expand.bias is not None
        self.expand.bias.copy_(mean - found @ middle)

    def _blank_picture(self) -> Tensor:
        return torch.zeros(1, 3, self.picture, self.picture)


class Frozen(nn.Sequential):
    """Layers that are not trained, and compute as in evaluation, always."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Frozen:
        return super().train(False)


def parts(
    network: NetworkRecipe, picture: int, weights: dict[str, Tensor] | None
) -> tuple[nn.Module, nn.Module, nn.Module]:
    """The stem, the rest of the edge half, and the server half, of pictures (B, 3, S, S) in 0..1; picture: S."""
    backbone, side = BACKBONES[network.backbone], network.upsampled or picture
    edge, server = backbone.halves(network, side, weights)
    larger = [nn.Upsample(side, mode="bilinear")] if network.upsampled else []
    if not network.frozen:
        return nn.Sequential(*larger), edge, server
    assert isinstance(edge, nn.Sequential) and backbone.before_blocks is not None
    first = backbone.before_blocks + network.frozen
    return Frozen(*larger, *edge[:first]), edge[first:], server


def convolutions(network: NetworkRecipe, width: int) -> tuple[nn.Module, nn.Module, nn.Conv2d]:
    """What stands around the quantiser where its family brings nothing."""
    if network.latent_channels:
        bottleneck: nn.Module = nn.Conv2d(width, network.channels, 1, bias=False)
        return nn.Identity(), bottleneck, nn.Conv2d(network.channels, width, 3, padding=1)
    return nn.Identity(), nn.Identity(), nn.Conv2d(width, width, 1)


def _by_channel(x: Tensor) -> Tensor:
    """(B, C, H, W) to (C, B·H·W), in float64."""
    return x.transpose(0, 1).flatten(1).double()


@torch.no_grad()
def unfold_batch_norms(network: nn.Module, inputs: Tensor) -> None:
    """Gives each BatchNorm the statistics of its input, keeping the function that it computes.

    Weights whose BatchNorms were folded away compute the right thing in evaluation, but training
    would start from statistics that belong to nothing.
    """
    network.eval()
    statistics: dict[nn.BatchNorm2d, tuple[Tensor, Tensor]] = {}

    def record(norm: nn.Module, args: tuple[Tensor]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        statistics[norm] = (args[0].mean((0, 2, 3)), args[0].var((0, 2, 3), unbiased=False))

    hooks = [m.register_forward_pre_hook(record) for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    network(inputs)
    for hook in hooks:
        hook.remove()
    for norm, (mean, var) in statistics.items():
        assert norm.running_mean is not None and norm.running_var is not None
        gain = norm.weight / (norm.running_var + norm.eps).sqrt()
        norm.bias.add_((mean - norm.running_mean) * gain)
        norm.weight.copy_(gain * (var + norm.eps).sqrt())
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(var)
