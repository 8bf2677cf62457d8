"""How near pictures are to their originals: PSNR and SSIM; and how near two sets are in a network's features."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST_ERROR = 1e-10
"""Mean squared: the same picture has a PSNR of 100 dB, and not an infinite one."""
WINDOW, DEVIATION = 11, 1.5
K1, K2 = 0.01, 0.03


def psnr(pictures: Tensor, originals: Tensor) -> Tensor:
    """−10 log10 of the mean squared error of each picture, in dB: (B, 3, H, W), both clipped to 0..1, to (B,)."""
    error = (pictures.clamp(0, 1) - originals.clamp(0, 1)).double().square().mean((1, 2, 3))
    return -10 * error.clamp(min=LEAST_ERROR).log10()


def ssim(pictures: Tensor, originals: Tensor) -> Tensor:
    """Structural similarity of each picture: (B, 3, H, W), both clipped to 0..1, to (B,).

    Wang et al. 2004: a Gaussian window of 11×11, its whole positions alone, the mean over positions and channels.
    """
    x, y = pictures.clamp(0, 1).double(), originals.clamp(0, 1).double()
    rows, columns = (_window(side).to(x) for side in x.shape[2:])

    def mean(values: Tensor) -> Tensor:  # the window is separable
        return rows @ values @ columns.T

    mean_x, mean_y = mean(x), mean(y)
    var_x, var_y, cov = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2, mean(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + K1**2) / (mean_x**2 + mean_y**2 + K1**2)
    structure = (2 * cov + K2**2) / (var_x + var_y + K2**2)
    return (luminance * structure).mean((1, 2, 3))


def _window(side: int) -> Tensor:
    """The Gaussian window at each of its whole positions along a side: (side − 10, side)."""
    taps = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    weights = (-taps.square() / (2 * DEVIATION**2)).exp()
    after = side - WINDOW
    return torch.stack([F.pad(weights / weights.sum(), (n, after - n)) for n in range(after + 1)])


def frechet_distance(features: Tensor, others: Tensor) -> float:
    """||μ₁ − μ₂||² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½) of two sets of features (N, F) and (M, F), as if both were normal.

    Heusel et al. 2017, there with Inception's features. The distance belongs to the network that the features are of,
    and to N and M: figures of others are no measure.
    """
    one, two = features.double(), others.double()
    root = _root(torch.cov(one.T))
    crossed = torch.linalg.eigvalsh(root @ torch.cov(two.T) @ root).clamp(min=0).sqrt().sum()
    traces = one.var(0).sum() + two.var(0).sum()
    return float((one.mean(0) - two.mean(0)).square().sum() + traces - 2 * crossed)


def _root(matrix: Tensor) -> Tensor:
    """Of a symmetric matrix without negative eigenvalues."""
    values, vectors = torch.linalg.eigh(matrix)
    found: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return found
