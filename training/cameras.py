"""What poor cameras do to pictures: exposure, white balance, blur, noise, JPEG (kinds of ImageNet-C, made here).

Pure functions of pictures (B, 3, S, S) in 0..1 and a strength for each, (B,). A strength of 0 changes nothing, nor does
quality 100 or more.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

GAMMA = 2.2
"""Of sRGB, about: light is value to this power."""
RANGES = {
    "exposure": (-1.5, 1.5),
    "white balance": (-0.6, 0.6),
    "blur": (0.3, 1.5),
    "noise": (5.0, 25.0),
    "jpeg": (10.0, 75.0),
}
"""Strengths that training draws from."""


def exposure(pictures: Tensor, stops: Tensor) -> Tensor:
    """2^stops times the light; what is too bright for the file is clipped."""
    return (pictures * 2 ** (_each(stops) / GAMMA)).clamp(0, 1)


def white_balance(pictures: Tensor, stops: Tensor) -> Tensor:
    """Red light by 2^stops, blue by 2^−stops: warmer above 0, colder below."""
    of_channel = torch.tensor([1.0, 0.0, -1.0], device=pictures.device).view(1, 3, 1, 1)
    return (pictures * 2 ** (_each(stops) * of_channel / GAMMA)).clamp(0, 1)


def blur(pictures: Tensor, deviations: Tensor) -> Tensor:
    """A Gaussian of so many pixels."""
    reach = max(1, int(3 * float(deviations.max()) + 0.5))
    taps = torch.arange(-reach, reach + 1, device=pictures.device)
    weights = (-taps.square() / (2 * deviations.clamp(min=1e-3).square()[:, None])).exp()
    weights = (weights / weights.sum(1, keepdim=True)).repeat_interleave(3, 0)
    found = pictures.flatten(0, 1)[None]  # each channel of each picture with a kernel of its own
    down, across = (weights[:, None, :, None], (0, 0, reach, reach)), (weights[:, None, None], (reach, reach, 0, 0))
    for kernel, padding in (down, across):
        found = F.conv2d(F.pad(found, padding, mode="replicate"), kernel, groups=found.shape[1])
    return found.reshape(pictures.shape)


def noise(pictures: Tensor, deviations: Tensor) -> Tensor:
    """Normal, of so many of 255 values, each pixel and channel alone."""
    return (pictures + torch.randn_like(pictures) * _each(deviations) / 255).clamp(0, 1)


def jpeg(pictures: Tensor, qualities: Tensor) -> Tensor:
    """Written as JPEG files of these qualities, and read again."""
    found = pictures.clone()
    for i in torch.nonzero(qualities < 100).flatten().tolist():
        file, values = io.BytesIO(), pictures[i].mul(255).round().to(torch.uint8).permute(1, 2, 0)
        Image.fromarray(values.cpu().numpy()).save(file, "jpeg", quality=round(float(qualities[i])))
        found[i] = torch.from_numpy(np.asarray(Image.open(file)).copy()).permute(2, 0, 1).to(found) / 255
    return found


EFFECTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "exposure": exposure,
    "white balance": white_balance,
    "blur": blur,
    "noise": noise,
    "jpeg": jpeg,
}
"""In the order in which light becomes a file."""


def as_poor_cameras(pictures: Tensor, share: float) -> Tensor:
    """Each effect on so large a share of the pictures, drawn for each alone, of a strength within its range."""
    for name, effect in EFFECTS.items():
        drawn = torch.rand(len(pictures), device=pictures.device) < share
        strengths = torch.empty(len(pictures), device=pictures.device).uniform_(*RANGES[name])
        if drawn.any():
            pictures = pictures.clone()
            pictures[drawn] = effect(pictures[drawn], strengths[drawn])
    return pictures


def _each(strengths: Tensor) -> Tensor:
    return strengths.view(-1, 1, 1, 1)
