"""PSNR, SSIM and the Fréchet distance, against what they must be."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.quality import frechet_distance, psnr, ssim


def pictures(count: int, seed: int = 0) -> torch.Tensor:
    """Slopes with noise, (B, 3, 32, 32)."""
    random = torch.Generator().manual_seed(seed)
    slope = torch.linspace(0.2, 0.8, 32).expand(count, 3, 32, 32)
    return (slope + 0.1 * torch.randn(count, 3, 32, 32, generator=random)).clamp(0, 1)


@given(error=st.floats(1e-3, 0.4))
@settings(deadline=None)
def test_psnr_is_that_of_each_picture_alone(error: float) -> None:
    originals = torch.full((2, 3, 8, 8), 0.5)
    changed = originals + torch.tensor([error, error / 10]).view(2, 1, 1, 1)
    exact = [-20 * math.log10(error), 20 - 20 * math.log10(error)]
    assert psnr(changed, originals).tolist() == pytest.approx(exact, abs=0.01)


def test_what_is_beyond_black_and_white_is_no_error_and_the_same_picture_has_100_db() -> None:
    black_and_white = torch.tensor([0.0, 1.0]).repeat(1, 3, 8, 4)
    assert psnr(black_and_white * 3 - 1, black_and_white).tolist() == [100.0]
    assert ssim(pictures(2), pictures(2)).tolist() == pytest.approx([1, 1])


def test_ssim_of_even_pictures_is_that_of_their_luminance() -> None:
    one, other = torch.full((1, 3, 16, 16), 0.3), torch.full((1, 3, 16, 16), 0.6)
    assert float(ssim(one, other)) == pytest.approx((2 * 0.18 + 1e-4) / (0.09 + 0.36 + 1e-4))


def test_ssim_is_symmetric_falls_with_noise_and_is_below_0_for_a_negative() -> None:
    originals = pictures(4)
    noise = torch.randn(originals.shape, generator=torch.Generator().manual_seed(1))
    little, much = (ssim((originals + share * noise).clamp(0, 1), originals) for share in (0.02, 0.2))
    assert (little > much).all() and (much > 0).all()
    torch.testing.assert_close(ssim(originals, pictures(4, 1)), ssim(pictures(4, 1), originals))
    assert (ssim(1 - originals, originals) < 0).all()


def test_the_frechet_distance_of_shifted_and_widened_features() -> None:
    random = torch.Generator().manual_seed(0)
    features = torch.randn(500, 6, generator=random, dtype=torch.double) @ torch.randn(6, 6, generator=random).double()
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-6)
    shift = torch.arange(6.0)
    assert frechet_distance(features + shift, features) == pytest.approx(float(shift.square().sum()))
    mean = features.mean(0)
    spread = float(features.var(0).sum())
    assert frechet_distance((features - mean) * 3 + mean, features) == pytest.approx(4 * spread)  # (3 − 1)² tr Σ
