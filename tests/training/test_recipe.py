from pathlib import Path

import pytest

from training.codebooks import build_codebook
from training.language.recipe import speaks
from training.network import SplitNetwork
from training.recipe import read_recipe
from training.tasks import TASKS
from wire.exceptions import RecipeError
from wire.manifest import Questions

RECIPES = Path(__file__).parents[2] / "training" / "recipes"
SHIPPED = sorted(path for path in RECIPES.glob("*.toml") if not speaks(path))
CHAINED = (RECIPES / "imagewoof64-compact-progressive.toml").read_text()
TEXT = CHAINED.replace('decoded = "chain"', "")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_shipped_recipes_are_named_like_their_files(path: Path) -> None:
    assert read_recipe(path).name == path.stem


def test_recipes_that_differ_in_the_codebook_alone_share_stage_1() -> None:
    recipes = [read_recipe(p) for p in SHIPPED if p.stem.startswith("imagewoof64-compact")]
    assert len(recipes) == 4
    assert len({r.stage1_key() for r in recipes}) == 1 and len({r.key() for r in recipes}) == 4


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("picture = 64", "picture = 64\nlearning_rate = 1", "unknown key 'learning_rate'"),
        ('family = "progressive"', 'family = "progressive"\nbits = 3', "unknown key 'codebook.bits'"),
        (
            'family = "progressive"',
            'family = "magic"',
            "codebook.family: .*should be one of progressive, residual, nested",
        ),
        ('family = "progressive"', 'family = "nested"\nmax_level = 9', "codebook.max_level is 8 at most for nested"),
        ('family = "progressive"', 'family = "rate-adaptive"\nmax_level = 11', "codebook.max_level: .*equal to 10"),
        ('family = "progressive"', 'family = "nested"\nd = 3', "d = 3 must divide the latent's 16 channels"),
        (
            'family = "progressive"',
            'family = "mixed"\nsegments = 3',
            "segments = 3 must divide the latent's 8 channel gr",
        ),
        ('family = "progressive"', 'family = "mixed"\nleast = 33', "least = 33 is more than all segments have levels"),
        ('family = "progressive"', 'family = "nested"\neta = 1', "eta is for nested codebooks trained level by level"),
        (
            "picture = 64",
            'picture = 64\ntask = "poetry"',
            "task: .*one of classification, question answering, reconstruction, not 'poetry'",
        ),
        (
            "[codebook]",
            '[network]\nbackbone = "vgg"\n[codebook]',
            "network.backbone: .*one of mobilenet_v2, .*vqvae.*, not 'vgg'",
        ),
        ("[codebook]", "[network]\ncut = 18\n[codebook]", "network.cut = 18 must be from 2 to 17"),
        ("[codebook]", "[network]\nstrides = [2]\n[codebook]", "strides has 1 values; MobileNetV2 has 6 stages"),
        (
            "picture = 64",
            "picture = 64\ncrop = [1.1, 0.8]",
            r"crop = \[1.1, 0.8\] must be a range above 0",
        ),
        (
            "[codebook]",
            "[network]\nupsampled = 48\n[codebook]",
            "upsampled = 48 must not be below picture = 64",
        ),
        ("[codebook]", "[network]\nfrozen = 8\n[codebook]", "network.frozen = 8 must be below network.cut = 8"),
        (
            "[codebook]",
            '[network]\nfrozen = 1\nbackbone = "vqvae"\ncut = 1\nweights = "random"\n[codebook]',
            "the blocks of vqvae cannot be frozen",
        ),
        ("[codebook]", '[network]\nfrozen = 2\nweights = "random"\n[codebook]', "random ones must be trained"),
        (
            'family = "progressive"',
            'family = "progressive"\nplanes_a_level = 9',
            "= 9 is more than .* 8 channel",
        ),
        ("picture = 64", "picture = =", "is not valid TOML"),
        ("picture = 64", "", "picture: Field required"),
    ],
)
def test_faults_are_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    (tmp_path / "recipe.toml").write_text(TEXT.replace(old, new, 1))
    with pytest.raises(RecipeError, match=said):
        read_recipe(tmp_path / "recipe.toml")


def test_only_planes_make_a_chain(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(CHAINED.replace('family = "progressive"', 'family = "nested"'))
    with pytest.raises(RecipeError, match=r'stage3.decoded = "chain" is for refinable codebooks'):
        read_recipe(tmp_path / "recipe.toml")


def test_a_local_head_is_no_reason_to_train_all_else_anew(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(CHAINED.replace("[local_head]", ""))
    plain, headed = read_recipe(tmp_path / "recipe.toml"), read_recipe(RECIPES / "imagewoof64-compact-progressive.toml")
    assert plain.local_head is None and headed.local_head is not None
    assert (plain.key(), plain.stage1_key()) == (headed.key(), headed.stage1_key())


def test_a_missing_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        read_recipe(tmp_path / "gone.toml")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_a_bit_of_each_sub_vector_takes_the_bytes_that_the_profile_promises(path: Path) -> None:
    recipe = read_recipe(path)
    questions = Questions(vocabulary=("what",), longest=1, answers=("yes",)) if TASKS[recipe.task].asks else None
    c, h, w = SplitNetwork(recipe, 10, None, questions).latent_shape
    of_profile = {
        "vqvae": 8,
        "upsampled": 63,
        "aligned": (recipe.picture // (14 if recipe.network.backbone == "vit-small" else 16)) ** 2,
    }
    of_data = {"easyvqa": 8}
    promised = of_data.get(recipe.dataset) or of_profile.get(recipe.network.profile)
    promised = promised or {160: 100, 128: 64, 64: 64, 32: 32}[recipe.picture]
    assert c * h * w // recipe.codebook.d // 8 == promised


def test_the_mixed_recipe_offers_points_every_8_bytes_and_below_a_bit_each() -> None:
    recipe = read_recipe(RECIPES / "imagewoof64-compact-mixed.toml")
    codebook = build_codebook(recipe.codebook, recipe.network.channels)
    assert codebook.segments == (1,) * 8 and len(codebook.points()) == 61


def test_the_rate_adaptive_recipe_has_sizes_up_to_1024() -> None:
    recipe = read_recipe(RECIPES / "imagewoof64-compact-rate-adaptive.toml")
    codebook = build_codebook(recipe.codebook, recipe.network.channels)
    assert codebook.any_size and codebook.largest == 1024 and codebook.segments == (1,) * 8
