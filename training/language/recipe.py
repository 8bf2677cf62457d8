"""A recipe for a language model that answers about the pictures of a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from training.recipe import Recipe, Strict, checked, digest, member_of, read_recipe, values_of
from wire.base import SMOLLM2
from wire.manifest import Base

LANGUAGE_MODELS: dict[str, Base] = {"smollm2": SMOLLM2}
"""By the name that a recipe says."""


class LanguageRecipe(Strict):
    """One artifact: the picture's half as it was trained, and what of the language model is trained."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    picture: Recipe
    """Of the model that gives the picture's tokens, which stays as it is; its file's name, beside this one."""
    language_model: Annotated[str, member_of(LANGUAGE_MODELS)] = "smollm2"
    rank: int = Field(8, ge=1)
    """Of the adapters in its attention (`training.lora`)."""
    epochs: int = Field(ge=1)
    batch: int = Field(8, ge=1)
    """Pictures a step, each with several of its questions."""
    adapter_rate: float = Field(5e-4, gt=0)
    projector_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    seed: int = 0

    def key(self) -> str:
        """Tells its checkpoint from one of another recipe, or of another picture's half."""
        return digest(self.model_dump(mode="json"))


def speaks(path: Path) -> bool:
    """Whether a recipe file is one for a language model."""
    return isinstance(values_of(path).get("picture"), str)


def read_language_recipe(path: Path) -> LanguageRecipe:
    """Reads and checks a recipe file, and that of the picture's half beside it.

    Raises:
        RecipeError: naming the key, and what it may be.
    """
    values = values_of(path)
    picture = read_recipe(path.parent / f"{values.get('picture', '')}.toml")
    return checked(LanguageRecipe, {**values, "picture": picture}, path.name)
