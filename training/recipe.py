"""A recipe: everything that decides what an artifact will be, as one typed TOML file."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from wire.exceptions import RecipeError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkRecipe(_Strict):
    """Where MobileNetV2 is cut and how narrow the latent is."""

    profile: str = "compact"
    strides: tuple[int, int, int, int, int, int] = (2, 1, 2, 1, 2, 1)
    cut: int = Field(8, ge=2, le=17)
    latent_channels: int = Field(16, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    weights: Literal["imagenet", "random"] = "imagenet"


class CodebookRecipe(_Strict):
    """The quantiser: codewords of dimension d, levels 1..max_level, one codebook per channel group."""

    family: Literal["progressive", "nested", "fixed"]
    d: int = Field(2, ge=1)
    max_level: int = Field(8, ge=1, le=8)
    beta: float = Field(0.25, ge=0)
    """Weight of the commitment loss (eq. 2)."""


class TeacherRecipe(_Strict):
    """A larger view of the same crop, through the uncut pretrained network with a fitted linear head."""

    view: int = Field(160, ge=32)
    weight: float = Field(0.7, ge=0, le=1)
    temperature: float = Field(2.0, gt=0)


class StageRecipe(_Strict):
    """One run of the training loop: AdamW, one cycle."""

    epochs: int = Field(ge=1)
    pretrained_rate: float = Field(gt=0)
    new_rate: float = Field(gt=0)


class Recipe(_Strict):
    """One artifact. Every default is visible in this file."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    dataset: str
    picture: int = Field(ge=32)
    seed: int = 0
    batch: int = Field(64, ge=2)
    crop: tuple[float, float] = (0.6, 1.0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    weight_decay: float = Field(0.02, ge=0)
    average: float = Field(0.998, ge=0, lt=1)
    """Decay per step of the exponential average of the weights, which is what is exported."""
    hold_out_every: int = Field(20, ge=2)
    """One training picture in this many is set aside to watch the training; the test set never is."""
    network: NetworkRecipe = NetworkRecipe()
    codebook: CodebookRecipe
    teacher: TeacherRecipe | None = None
    stage1: StageRecipe
    stage3: StageRecipe

    @model_validator(mode="after")
    def _codewords_fill_the_latent(self) -> Recipe:
        if self.network.latent_channels % self.codebook.d:
            raise ValueError(
                f"codebook.d = {self.codebook.d} must divide network.latent_channels = {self.network.latent_channels}"
            )
        return self

    @property
    def view(self) -> int:
        """Side at which crops are sampled: the teacher's view, or the network's own input."""
        return self.teacher.view if self.teacher else self.picture

    def stage1_key(self) -> str:
        """What stage 1 depends on; recipes that differ in the codebook alone share it."""
        shared = self.model_dump(mode="json", exclude={"name", "codebook", "stage3"})
        return hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()[:12]

    def key(self) -> str:
        """Identifies the whole recipe; a checkpoint of another recipe is refused by it."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]


def read_recipe(path: Path) -> Recipe:
    """Reads and checks a recipe file.

    Raises:
        RecipeError: naming the key, and what it may be.
    """
    try:
        values = tomllib.loads(path.read_text())
    except OSError as error:
        raise RecipeError(f"The recipe {path} cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"The recipe {path} is not valid TOML: {error}.") from error
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(_fault(e["loc"], e["type"], e["msg"]) for e in error.errors())
        raise RecipeError(f"The recipe {path.name} cannot be used: {faults}.") from error


def _fault(where: tuple[int | str, ...], kind: str, message: str) -> str:
    key = ".".join(map(str, where))
    if kind == "extra_forbidden":
        return f"unknown key {key!r}, remove it or correct its spelling"
    return f"{key}: {message}" if key else message.removeprefix("Value error, ")
