"""What poor cameras do to pictures."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from tests.conftest import PICTURES
from training.cameras import EFFECTS, RANGES, as_poor_cameras, blur, exposure, jpeg, noise, white_balance
from wire.pictures import fit_picture, read_picture

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    files: list[Path] = sorted(PICTURES.glob("*.png"))[:3]
    fitted = [torch.from_numpy(fit_picture(read_picture(file), 48).copy()).permute(2, 0, 1) for file in files]
    return torch.stack(fitted).float() / 255


@pytest.mark.parametrize("name", EFFECTS)
def test_each_picture_is_changed_by_its_own_strength(pictures: torch.Tensor, name: str) -> None:
    effect, (_, most) = EFFECTS[name], RANGES[name]
    none, little = (100.0, 60.0) if name == "jpeg" else (0.0, most / 3)
    most = 10.0 if name == "jpeg" else most
    torch.manual_seed(0)
    found = effect(pictures, torch.tensor([none, little, most]))
    assert found.shape == pictures.shape and float(found.min()) >= 0 and float(found.max()) <= 1
    torch.testing.assert_close(found[0], pictures[0], atol=1e-6, rtol=0)
    alike = effect(pictures[2:].repeat(2, 1, 1, 1), torch.tensor([little, most]))
    error = (alike - pictures[2]).abs().mean((1, 2, 3))
    assert 0 < error[0] < error[1] < 0.3
    if name != "noise":
        torch.testing.assert_close(alike[1], found[2])


def test_the_effects_are_what_they_say() -> None:
    grey, one = torch.full((1, 3, 64, 64), 0.4), torch.ones(1)
    torch.manual_seed(0)
    assert float(noise(grey, 20 * one).std()) * 255 == pytest.approx(20, rel=0.03)
    light = (exposure(grey, one)[0, 0, 0, 0] / 0.4) ** 2.2
    assert float(light) == pytest.approx(2)
    red, green, blue = (white_balance(grey, 0.5 * one)[0, :, 0, 0] / 0.4) ** 2.2
    assert (float(red), float(green), float(blue)) == pytest.approx((2**0.5, 1, 2**-0.5))
    point = torch.zeros(1, 3, 65, 65)
    point[..., 32, 32] = 1
    spread = blur(point, 1.5 * one)[0, 1]
    at = torch.arange(65.0) - 32
    assert float(spread.sum()) == pytest.approx(1, abs=1e-4)
    assert math.sqrt(float((spread.sum(0) * at**2).sum())) == pytest.approx(1.5, abs=0.03)
    torch.testing.assert_close(spread, spread.T)
    edge = (torch.arange(64) % 8 < 4).float().expand(1, 3, 64, 64)
    assert float((jpeg(edge, 5 * one) - edge).abs().mean()) > float((jpeg(edge, 90 * one) - edge).abs().mean())


def test_a_share_of_the_pictures_is_changed(pictures: torch.Tensor) -> None:
    torch.manual_seed(0)
    many, before = pictures[:1].repeat(200, 1, 1, 1), pictures.clone()
    same = (as_poor_cameras(many, 0.2) == many).flatten(1).all(1).float().mean()
    assert float(same) == pytest.approx(0.8**5, abs=0.1)
    assert torch.equal(as_poor_cameras(many, 0.0), many) and torch.equal(pictures, before)
