"""The split network: MobileNetV2, cut in two around a narrow, normalised latent.

picture ─ features[0..cut) ─ 1×1 conv ─ BatchNorm ─▶ latent ─ 3×3 conv ─ features[cut..) ─ pool ─ linear
└───────────────── encoder f_e ─────────────────┘            └────────────── decoder f_d ─────────────┘
"""

from __future__ import annotations

import pickle

import torch
from torch import Tensor, nn
from torchvision.models import MobileNet_V2_Weights, MobileNetV2

from training.recipe import CHANNELS_AFTER, NetworkRecipe
from wire.exceptions import TrainingError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# (expansion, channels, repeats) of MobileNetV2's stages; the strides belong to the profile.
STAGES = ((1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1))


class Normalise(nn.Module):
    """Pictures in 0..1, shape (B, 3, H, W), to ImageNet's mean and deviation."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        return (pictures - self.mean) / self.std


def mobilenet(strides: tuple[int, ...]) -> MobileNetV2:
    """MobileNetV2 whose stages c24 .. c320 have these strides (torchvision: 2, 2, 2, 1, 2, 1)."""
    setting = [[t, c, n, s] for (t, c, n), s in zip(STAGES, (1, *strides), strict=True)]
    return MobileNetV2(inverted_residual_setting=setting)


class WholeBatchNorm(nn.Module):
    """The authors' normalisation, by one mean and deviation of the whole batch: answers depend on their company."""

    def forward(self, latent: Tensor) -> Tensor:
        return (latent - latent.mean()) / (latent.std() + 1e-5)


class SplitNetwork(nn.Module):
    """Encoder and decoder of one recipe. `latent_shape` is (C, H, W)."""

    def __init__(self, recipe: NetworkRecipe, picture: int, classes: int, weights: dict[str, Tensor] | None) -> None:
        super().__init__()
        trunk = mobilenet(recipe.strides)
        if weights is not None:
            trunk.load_state_dict(weights)
        head, tail = trunk.features[: recipe.cut], trunk.features[recipe.cut :]
        width, channels = CHANNELS_AFTER[recipe.cut - 1], recipe.channels
        self.trunk_edge = nn.Sequential(Normalise(), *head)
        bottleneck = recipe.latent_channels > 0
        self.narrow = nn.Conv2d(width, channels, 1, bias=False) if bottleneck else nn.Identity()
        self.norm = nn.BatchNorm2d(channels, affine=False) if recipe.norm == "running" else WholeBatchNorm()
        self.widen = nn.Conv2d(channels, width, 3 if bottleneck else 1, padding=1 if bottleneck else 0)
        self.trunk_server = nn.Sequential(*tail, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(recipe.dropout))
        self.classifier = nn.Linear(trunk.last_channel, classes)
        with torch.no_grad():
            shape = self.eval().encode(torch.zeros(1, 3, picture, picture)).shape
        self.latent_shape: tuple[int, int, int] = (shape[1], shape[2], shape[3])
        self.train()

    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures in 0..1, (B, 3, S, S), to the normalised latent (B, C, H, W)."""
        latent: Tensor = self.norm(self.narrow(self.trunk_edge(pictures)))
        return latent

    def decode(self, latent: Tensor) -> Tensor:
        """The latent (B, C, H, W), quantised or not, to logits (B, classes)."""
        logits: Tensor = self.classifier(self.trunk_server(self.widen(latent)))
        return logits

    def new_parameters(self) -> list[nn.Parameter]:
        """Parameters without pretrained weights: they take the larger learning rate."""
        modules = (self.narrow, self.widen, self.classifier)
        return [p for m in modules for p in m.parameters()]

    @torch.no_grad()
    def start_from(self, pictures: Tensor) -> None:
        """Makes the pretrained network a good start, from a few hundred training pictures.

        Each BatchNorm gets the statistics of its input without changing the function; then the
        bottleneck starts as the principal components of the cut's output, so that decode(encode(x))
        starts as the best linear approximation of the uncut network.
        """
        self.eval()
        unfold_batch_norms(nn.Sequential(self.trunk_edge, nn.Identity()), pictures)
        cut = self.trunk_edge(pictures)
        flat = cut.transpose(0, 1).flatten(1).double()
        mean = flat.mean(1)
        if isinstance(self.narrow, nn.Conv2d):
            variances, components = torch.linalg.eigh(torch.cov(flat))
            c = self.narrow.out_channels
            variances, components = variances.flip(0)[:c], components.flip(1)[:, :c]
            self.narrow.weight.copy_(components.T[..., None, None])
        else:
            variances, components = flat.var(1), torch.eye(len(flat), dtype=flat.dtype, device=flat.device)
        if isinstance(self.norm, nn.BatchNorm2d):
            assert self.norm.running_mean is not None and self.norm.running_var is not None
            self.norm.running_mean.copy_(components.T @ mean)
            self.norm.running_var.copy_(variances)
        self.widen.weight.zero_()
        centre = self.widen.kernel_size[0] // 2
        self.widen.weight[:, :, centre, centre] = (components * variances.clamp(min=1e-8).sqrt()).float()
        assert self.widen.bias is not None
        self.widen.bias.copy_(mean)
        unfold_batch_norms(self.trunk_server, self.widen(self.encode(pictures)))
        self.train()


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
        norm.bias += (mean - norm.running_mean) * gain
        norm.weight.copy_(gain * (var + norm.eps).sqrt())
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(var)


def pretrained_weights(file: str | None) -> dict[str, Tensor]:
    """ImageNet weights of MobileNetV2, from `file` or, where None, as torchvision publishes them.

    Raises:
        TrainingError: if they cannot be read, or fetched.
    """
    try:
        if file is not None:
            state: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
        else:
            state = dict(MobileNet_V2_Weights.IMAGENET1K_V2.get_state_dict(progress=True, check_hash=True))
    except (OSError, pickle.UnpicklingError) as error:
        raise TrainingError(
            f"The ImageNet weights could not be {'fetched' if file is None else 'read'} ({error}); name a file that "
            "holds torchvision's MobileNetV2 weights with --weights."
        ) from error
    return state
