"""A recipe: everything that decides what an artifact will be, as one typed TOML file."""

from __future__ import annotations

import hashlib
import json
import operator
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from training.backbones import BACKBONES, Backbone
from training.codebooks import CODEBOOKS
from training.tasks import TASKS, Task
from wire.exceptions import RecipeError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def member_of(registry: Mapping[str, Any]) -> AfterValidator:
    def check(name: str) -> str:
        if name not in registry:
            raise ValueError(f"should be one of {', '.join(registry)}, not {name!r}")
        return name

    return AfterValidator(check)


def _left_out(value: object) -> bool:
    """Settings that came later are no part of a recipe's key where they are left out: older checkpoints go on."""
    return not value


T = TypeVar("T", bound=BaseModel)


class Strict(BaseModel):
    """A part of a recipe: what it does not know is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkRecipe(Strict):
    """Which backbone, where it is cut and how narrow the latent is."""

    backbone: Annotated[str, member_of(BACKBONES)] = "mobilenet_v2"
    profile: str = "compact"
    strides: tuple[int, ...] = (2, 1, 2, 1, 2, 1)
    """Of the backbone's stages, where they are free to choose; fewer halvings suit small pictures."""
    cut: int = Field(8, ge=1)
    """After so many of the backbone's blocks."""
    latent_channels: int = Field(16, ge=0)
    """Channels of the bottleneck; 0 for the cut's own channels, without a bottleneck."""
    norm: Literal["running", "whole batch"] = "running"
    """How the latent is normalised. "whole batch" repeats a fault of the authors' code, for comparison alone."""
    dropout: float = Field(0.1, ge=0, lt=1)
    weights: Literal["imagenet", "dinov2", "random"] = "imagenet"
    blocks: int | None = Field(None, ge=2, exclude_if=_left_out)
    """Of a transformer: so many are used, in both halves; all, if left out."""
    upsampled: int | None = Field(None, ge=32, exclude_if=_left_out)
    """The edge half enlarges the picture to this side first, bilinearly; as it is, if left out."""
    frozen: int | None = Field(None, ge=1, exclude_if=_left_out)
    """So many of the backbone's first blocks stay as they are pretrained: their features are kept (`training.kept`)."""
    skipped: tuple[int, ...] = Field((), exclude_if=_left_out)
    """The edge half does without these of the backbone's blocks, residual ones in front of the cut."""
    lora: int | None = Field(None, ge=1, exclude_if=_left_out)
    """The rank of adapters of the server half's attention (`training.lora`); then its pretrained weights stay."""

    @property
    def channels(self) -> int:
        """Channels C of the latent."""
        return self.latent_channels or BACKBONES[self.backbone].channels(self)


class CodebookRecipe(Strict):
    """The quantiser: codewords of dimension d, codebooks of up to 2^max_level of them."""

    family: Annotated[str, member_of(CODEBOOKS)]
    d: int = Field(2, ge=1)
    max_level: int = Field(8, ge=1, le=10)
    beta: float = Field(0.25, ge=0)
    """Weight of the commitment loss (eq. 2)."""
    eta: float = Field(0.0, ge=0)
    """Weight that holds the codewords of earlier levels in place (eq. 7); nested, level by level."""
    shared: bool = False
    """One codebook for all channel groups, in place of one for each."""
    planes_a_level: int | None = Field(None, ge=1, exclude_if=_left_out)
    """Progressive: channel groups share planes, so that a level is so many; one for each group, if left out."""
    segments: int = Field(4, ge=1)
    """Mixed resolution: segments of channel groups that have sizes of their own."""
    scale: bool = Field(False, exclude_if=operator.not_)
    """Aligned: the last channel group is the token's scale, which the LayerNorm takes away, in 4 bits at most."""
    least: int | None = Field(None, ge=1)
    """Mixed resolution: sum of the segments' levels at the cheapest point; if left out, one a segment."""


class TeacherRecipe(Strict):
    """A larger view of the same crop, through an uncut pretrained network with a fitted linear head."""

    network: Annotated[str, member_of(BACKBONES)] | None = Field(None, exclude_if=_left_out)
    """A backbone's name; the recipe's own if left out."""
    view: int = Field(160, ge=32)
    weight: float = Field(0.7, ge=0, le=1)
    temperature: float = Field(2.0, gt=0)
    features: float = Field(0.0, ge=0, exclude_if=_left_out)
    """Weight, in stage 1, of how far what the server half is given is from the teacher's own features at the cut.

    The server half then goes on where the teacher's would: the latent is enlarged to the grid of its view."""


class StageRecipe(Strict):
    """One run of the training loop: AdamW, one cosine cycle."""

    epochs: int = Field(ge=0)
    pretrained_rate: float = Field(gt=0)
    new_rate: float = Field(gt=0)
    average: float = Field(0.1, ge=0, lt=1)
    """Span of the exponential average of the weights, which is the result, as a share of the stage's steps."""
    minutes: float | None = Field(None, gt=0)
    """Time budget: the cycle ends at the latest after so many minutes of training."""


class QuantisedStageRecipe(StageRecipe):
    """Stage 3. Without epochs the codewords stay where stage 2 put them (LBG on a trained encoder)."""

    seed: int = 0
    """Of stages 2 and 3; stage 1, which many recipes share, has the recipe's own."""
    order: Literal["joint", "level by level"] = "joint"
    """All levels at once, or as in Alg. 1 and 2: a level is added, then all so far are trained for `epochs`."""
    decoded: Literal["sandwich", "skewed", "all", "any size", "chain"] = "sandwich"
    """Points that each step decodes: the highest and one lower, or every one as the algorithms state.

    The lower one is the lowest half of the time, else any; "skewed" prefers the lower ones, for many points.
    With "any size" four are lower: any size for all segments; with half of the pictures each, size 2 and two points.
    With "chain" the planes' order is known before stage 3, and eight of its prefixes are lower, short ones often."""
    distil: bool = True
    """Lower points also learn from the highest one's answers."""
    fade_in: float = Field(0.0, ge=0, le=1, exclude_if=_left_out)
    """Share of the stage in which codewords take the place of the latent little by little, as (1 − r) x + r z."""


class LocalHeadRecipe(Strict):
    """The edge's own answer (`training.local_head`), trained once all the rest is: AdamW, one cosine cycle."""

    epochs: int = Field(15, ge=1)
    views: int = Field(6, ge=1)
    """Random crops made of every training picture."""
    channels: tuple[int, int] = (64, 96)
    """Of its two convolutions."""
    rate: float = Field(4e-3, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    seed: int = 0


class Recipe(Strict):
    """One artifact. Every default is visible in this file."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    dataset: str
    task: Annotated[str, member_of(TASKS)] = "classification"
    picture: int = Field(ge=32)
    seed: int = 0
    batch: int = Field(64, ge=2)
    crop: tuple[float, float] = (0.6, 1.0)
    """Range of a view's side, in sides of the picture; above 1 it zooms out, into the picture's mirror image."""
    shift: float = Field(0.0, ge=0, le=0.5, exclude_if=_left_out)
    """By so much at most, in sides of the picture, views also lie further to each side."""
    cutmix: float = Field(0.0, ge=0, le=1, exclude_if=_left_out)
    """Share of the batches whose pictures have a piece of another one in them (`training.mixing`)."""
    camera: float = Field(0.0, ge=0, le=1, exclude_if=_left_out)
    """Share of the pictures that each effect of a poor camera is put on: noise, blur, … (`training.cameras`)."""
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    weight_decay: float = Field(0.02, ge=0)
    decay_weights_alone: bool = Field(False, exclude_if=_left_out)
    """Normalisations, biases and codewords have no weight decay."""
    hold_out_every: int = Field(20, ge=2)
    """One training picture in this many is set aside to watch the training; the test set never is."""
    views: int = Field(6, ge=1)
    """Random crops made of every training picture."""
    network: NetworkRecipe = NetworkRecipe.model_validate({})
    codebook: CodebookRecipe
    teacher: TeacherRecipe | None = None
    stage1: StageRecipe
    stage3: QuantisedStageRecipe
    local_head: LocalHeadRecipe | None = None

    @model_validator(mode="after")
    def _members_agree(self) -> Recipe:
        backbone, task = BACKBONES[self.network.backbone], TASKS[self.task]
        backbone.check(self.network, self.network.upsampled or self.picture)
        self._check_views(backbone, task)
        self._check_features(backbone)
        if self.network.lora and (not backbone.attends or self.network.weights == "random"):
            raise ValueError("network.lora adapts the attention of a pretrained transformer behind the cut; remove it")
        if self.teacher and not task.has_classes:
            raise ValueError(f"a teacher tells classes apart, and the task {self.task} has none; remove [teacher]")
        if task.takes not in backbone.gives:
            fitting = [name for name, one in BACKBONES.items() if task.takes in one.gives]
            raise ValueError(
                f"the task {self.task} needs a backbone that gives {task.takes}, and "
                f"{self.network.backbone} does not; set network.backbone to {' or '.join(fitting)}"
            )
        channels, d = self.network.channels, self.codebook.d
        if channels % d:
            raise ValueError(f"codebook.d = {d} must divide the latent's {channels} channels")
        CODEBOOKS[self.codebook.family].check(self)
        return self

    def _check_views(self, backbone: Backbone, task: Task) -> None:
        if not 0 < self.crop[0] <= self.crop[1] <= 2:
            raise ValueError(f"crop = {list(self.crop)} must be a range above 0 and up to 2, the smaller side first")
        network = self.network
        if network.upsampled and network.upsampled < self.picture:
            raise ValueError(f"network.upsampled = {network.upsampled} must not be below picture = {self.picture}")
        if network.frozen:
            if backbone.before_blocks is None:
                raise ValueError(f"the blocks of {network.backbone} cannot be frozen; remove network.frozen")
            if network.frozen >= network.cut:
                raise ValueError(f"network.frozen = {network.frozen} must be below network.cut = {network.cut}")
            if network.weights == "random":
                raise ValueError("network.frozen keeps blocks as they are pretrained; random ones must be trained")
        if (network.frozen or self.cutmix or self.camera) and task.takes != "features":
            raise ValueError(f"network.frozen, cutmix and camera are for tasks with classes; {self.task} has none")

    def _check_features(self, backbone: Backbone) -> None:
        network = self.network
        for block in network.skipped:
            if block not in backbone.residual or not (network.frozen or 0) < block <= network.cut:
                raise ValueError(
                    f"network.skipped has {block}; of {network.backbone} only residual blocks can be left out, "
                    "behind those that are frozen and in front of the cut"
                )
        if self.features and (self.teaches != network.backbone or not network.frozen or network.upsampled):
            raise ValueError(
                "teacher.features are those of the recipe's own backbone, and kept beside those of frozen blocks; "
                "set network.frozen, and remove teacher.network and network.upsampled"
            )

    @property
    def features(self) -> float:
        """Weight of the teacher's features at the cut; 0 where none are learnt from."""
        return self.teacher.features if self.teacher else 0.0

    @property
    def teaches(self) -> str | None:
        """The backbone that the teacher is, uncut."""
        return (self.teacher.network or self.network.backbone) if self.teacher else None

    @property
    def view(self) -> int:
        """Side at which crops are sampled: the teacher's view, or the network's own input."""
        return self.teacher.view if self.teacher else self.picture

    def views_key(self) -> str:
        """What the training views depend on."""
        keys = ("dataset", "picture", "seed", "crop", "shift", "hold_out_every", "views", "teacher")
        values = {**self.model_dump(mode="json", include=set(keys)), "backbone": self.teaches}
        if self.network.frozen:  # then features are what is kept of them
            network = self.network.model_dump(mode="json", include={"backbone", "strides", "upsampled", "frozen"})
            values["kept"] = network | self.model_dump(mode="json", include={"camera"})
            if self.features:
                values["kept"]["cut"] = self.network.cut
        return digest(values)

    def stage1_key(self) -> str:
        """What stage 1 depends on; recipes share it that differ in the codebook alone, and not in what is around it."""
        values = self.model_dump(mode="json", exclude={"name", "codebook", "stage3", "local_head"})
        around = CODEBOOKS[self.codebook.family].around(self.codebook)
        if around is not None:
            values["around"] = around
        return digest(values)

    def key(self) -> str:
        """Identifies the recipe of what stages 1 to 3 make; a checkpoint of another recipe is refused by it."""
        return digest(self.model_dump(mode="json", exclude={"local_head"}))


def digest(values: dict[str, Any]) -> str:
    """Tells recipes apart."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def read_recipe(path: Path) -> Recipe:
    """Reads and checks a recipe file.

    Raises:
        RecipeError: naming the key, and what it may be.
    """
    return checked_recipe(values_of(path), path.name)


def values_of(path: Path) -> dict[str, Any]:
    """Those of a recipe file, unchecked.

    Raises:
        RecipeError: if there is none, or it is no TOML.
    """
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise RecipeError(f"The recipe {path} cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"The recipe {path} is not valid TOML: {error}.") from error


def checked_recipe(values: dict[str, Any], name: str) -> Recipe:
    """The recipe with these values; `name` says in errors which one it is.

    Raises:
        RecipeError: naming the key, and what it may be.
    """
    return checked(Recipe, values, name)


def checked(kind: type[T], values: dict[str, Any], name: str) -> T:
    """As `checked_recipe`, of any kind of recipe."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(_fault(e["loc"], e["type"], e["msg"]) for e in error.errors())
        raise RecipeError(f"The recipe {name} cannot be used: {faults}.") from error


def _fault(where: tuple[int | str, ...], kind: str, message: str) -> str:
    key = ".".join(map(str, where))
    if kind == "extra_forbidden":
        return f"unknown key {key!r}, remove it or correct its spelling"
    return f"{key}: {message}" if key else message.removeprefix("Value error, ")
