from pathlib import Path

import pytest

from tests.conftest import ROOT
from training.network import SplitNetwork
from training.recipe import read_recipe
from wire.bitplanes import plane_bytes
from wire.exceptions import RecipeError

SHIPPED = sorted((ROOT / "training" / "recipes").glob("*.toml"))
TEXT = (ROOT / "training" / "recipes" / "imagewoof64-compact-progressive.toml").read_text()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_shipped_recipes_are_named_like_their_files(path: Path) -> None:
    assert read_recipe(path).name == path.stem


def test_recipes_that_differ_in_the_codebook_alone_share_stage_1() -> None:
    recipes = [read_recipe(p) for p in SHIPPED if p.stem.startswith("imagewoof64-compact")]
    assert len(recipes) == 2
    assert len({r.stage1_key() for r in recipes}) == 1 and len({r.key() for r in recipes}) == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("picture = 64", "picture = 64\nlearning_rate = 1", "unknown key 'learning_rate'"),
        ('family = "progressive"', 'family = "progressive"\nbits = 3', "unknown key 'codebook.bits'"),
        ('family = "progressive"', 'family = "magic"', "codebook.family: Input should be 'progressive', 'nested'"),
        ('family = "progressive"', 'family = "nested"\nmax_level = 9', "codebook.max_level: .*less than or equal to 8"),
        ('family = "progressive"', 'family = "nested"\nd = 3', "d = 3 must divide the latent's 16 channels"),
        ("picture = 64", "picture = =", "is not valid TOML"),
        ("picture = 64", "", "picture: Field required"),
    ],
)
def test_faults_are_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    (tmp_path / "recipe.toml").write_text(TEXT.replace(old, new, 1))
    with pytest.raises(RecipeError, match=said):
        read_recipe(tmp_path / "recipe.toml")


def test_a_missing_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        read_recipe(tmp_path / "gone.toml")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_a_level_takes_the_bytes_that_the_profile_promises(path: Path) -> None:
    recipe = read_recipe(path)
    c, h, w = SplitNetwork(recipe.network, recipe.picture, 10, None).latent_shape
    assert plane_bytes(c * h * w // recipe.codebook.d) == {128: 64, 64: 64, 32: 32}[recipe.picture]
