"""The rows: what is trained for the tables, by name.

A row is PROFILE/VARIANT/SEED, for example imagewoof64-compact/nested/0 or cifar100-paper-d2/fixed-3/1.
A profile is a recipe; a variant changes what its name says and nothing else. All variants of a
profile share stage 1 and, but for long-…, have the same number of epochs after it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from wire.exceptions import RecipeError

if TYPE_CHECKING:
    from training.recipe import Recipe

PROFILES = Path(__file__).parent / "profiles"
RESULTS = Path(__file__).parent / "results"

CODECS = ("webp", "jpeg", "avif")
LONG = 2.5
"""long-FAMILY has so many times the epochs, about the minutes of the eight fixed-rate models together.

Each long-fixed-LEVEL has as many, too.
"""
PICTURED = ("progressive", "nested")
GENERATORS: dict[str, dict[str, dict[str, Any]]] = {
    name: {
        "codebook": {"family": family, "max_level": level, "segments": 1, "eta": 0.0},
        "stage3": {"decoded": "any size" if family != "fixed" else "sandwich"},
    }
    for name, family, level in (
        ("free-table", "rate-adaptive", 10),
        ("lstm", "lstm", 10),
        ("lstm-free-running", "lstm-free-running", 10),
        ("model-based", "fixed", 7),
        ("random-rows", "fixed", 10),
    )
}
"""Ways to one model for any size (RAQ). The last two are models of one size: their other codebooks have no training."""
SIZES = (2, 4, 8, 16, 37, 64, 100, 128, 256, 400, 1024)
"""Codebook sizes that those are measured at."""
ALIGNED: dict[str, dict[str, dict[str, Any]]] = {
    name: {"codebook": {"family": family, "d": d, "max_level": level}, "stage3": {"decoded": "chain"}}
    for name, family, d, level in (
        ("linear", "aligned-linear", 4, 8),
        ("gates-in", "aligned-in", 4, 8),
        ("gates-out", "aligned-out", 4, 8),
        ("gates-both", "aligned-both", 4, 8),
        ("groups-4", "aligned-both", 8, 8),
        ("groups-16", "aligned-both", 2, 4),
        ("groups-32", "aligned-both", 1, 2),
    )
}
"""Of imagewoof112-transformer: which projections have gates; and how many channel groups share a token's bits.

"gates-both" is the one of 8 groups, and the recipe as it is shipped.
"""
STARTS = {"imagewoof112-transformer": "linear"}
"""Profiles whose rows all start from the stage 1 of one variant, whatever they change."""
PLACES, BESIDE = ("LN1", "LN2", "ATTN", "FFN"), ", x beside"
_PLACED: dict[str, dict[str, Any]] = {
    "codebook": {"family": "aligned-bare", "d": 4, "max_level": 8},
    "stage3": {"decoded": "chain"},
}
RESHAPED: dict[str, dict[str, dict[str, Any]]] = {
    "none": {
        "network": {"latent_channels": 0},
        "codebook": {"family": "aligned-none", "d": 12, "max_level": 8},
        "stage3": {"decoded": "chain"},
    },
    "prefix": {**_PLACED, "codebook": {"family": "aligned-prefix", "d": 4, "max_level": 8}},
    **{
        f"after-{place.lower()}{'-beside-x' if beside else ''}": {
            **_PLACED,
            "network": {"backbone": f"mobilenet_v2-transformer after {place}{beside}"},
        }
        for place in PLACES
        for beside in ("", BESIDE)
    },
}
"""Of the same profile, from the same stage 1, with other shapes: no projections; tokens that are sent as a prefix; the
quantiser in the first transformer block. "beside-x": the residual stream goes round it, and is not counted.
"""
_ON_VIT: dict[str, dict[str, Any]] = {"codebook": {"family": "aligned"}, "stage3": {"decoded": "chain"}}
ADAPTERS: dict[str, dict[str, dict[str, Any]]] = {
    "adapters": _ON_VIT,
    "no-adapters": {**_ON_VIT, "network": {"backbone": "vit-small, as it is", "lora": None}},
}
"""Of imagewoof112-vit: the server half's pretrained blocks with adapters of low rank, and as they are."""
RESHAPED_FAMILIES = {changes["codebook"]["family"] for changes in RESHAPED.values()}
FAMILIES = ("progressive", "nested", "mixed", "residual")
CHAIN = "chain"
"""The progressive family, of whose chain of planes prefixes are trained."""

# What the paper's profiles gain from our way of training, with their cut and their bytes.
JOINT: dict[str, dict[str, dict[str, Any]]] = {
    f"joint-{family}": {
        "codebook": {"family": family, "shared": False, "eta": 0.0},
        "stage3": {"order": "joint", "decoded": "sandwich", "distil": True},
    }
    for family in ("progressive", "nested")
}

# What each idea is worth, and what became of it. Those that were dropped are no longer in the code.
IDEAS = {
    "all-levels": "the sandwich is kept: decoding all levels, fewer steps in the same minutes, loses 2.5 points.",
    "no-distillation": "kept: without it the likelihood at levels 1 to 3 is worse, and 0.4 points are lost.",
    "last-weights": "the average is kept for its likelihood; in top-1 the last weights are as good here.",
    "shared-codebook": "one codebook a channel group is kept: sharing one loses a point at the same rate.",
    "level-affine": "dropped: a gain and a bias per level after the decoder's first layer gained nothing.",
    "quantiser-dropout": "dropped: with half of the pictures unquantised at the highest level, likelihood was worse.",
    "joint-search": "dropped: the path nearest over all levels together, which a beam approximates, gave 0.2 points on "
    "average and took 1.3 from level 1.",
    "rotation": "dropped: the rotation trick was worse than the straight-through gradient at low levels.",
}

# One change each, on the progressive family: the ideas that the code still has.
ABLATIONS: dict[str, dict[str, dict[str, Any]]] = {
    "no-distillation": {"stage3": {"distil": False}},
    "last-weights": {"stage3": {"average": 0.0}},
    # With the minutes that the sandwich took on one CPU core.
    "all-levels": {"stage3": {"decoded": "all", "minutes": 3.9}},
    "shared-codebook": {"codebook": {"shared": True}},
    "whole-batch-norm": {"network": {"norm": "whole batch"}},
}


def recipe_of(name: str) -> Recipe:
    """The recipe of a row.

    Raises:
        RecipeError: if there is no such row.
    """
    from training.recipe import checked_recipe, read_recipe  # torch comes with it, which no table needs

    profile, _, rest = name.partition("/")
    variant, _, seed = rest.partition("/")
    path = PROFILES / f"{profile}.toml"
    if not path.is_file() or not seed.isdecimal():
        known = ", ".join(sorted(p.stem for p in PROFILES.glob("*.toml")))
        raise RecipeError(f"There is no row {name!r}; write PROFILE/VARIANT/SEED with PROFILE one of {known}.")
    values = read_recipe(path).model_dump()
    for section, changes in _changes(variant, name, values["stage3"]["epochs"]).items():
        values[section].update(changes)
    values["stage3"]["seed"] = int(seed)
    values["name"] = name.replace("/", "-")
    return checked_recipe(values, name)


def _changes(variant: str, name: str, epochs: int) -> dict[str, dict[str, Any]]:
    if variant == "nested":
        return {"codebook": {"family": variant}}
    if variant == "mixed":
        return {"codebook": {"family": variant, "eta": 0.0}, "stage3": {"order": "joint"}}
    if variant == CHAIN:
        return {"codebook": {"family": "progressive", "eta": 0.0}, "stage3": {"order": "joint", "decoded": "chain"}}
    if variant in FAMILIES:
        return {"codebook": {"family": variant, "eta": 0.0}}
    if variant in JOINT:
        return JOINT[variant]
    if variant in GENERATORS:
        from benchmarks.accuracy import generated  # noqa: F401  # has the families that only these rows have

        return GENERATORS[variant]
    if variant in ALIGNED:
        from benchmarks.accuracy import aligning  # noqa: F401  # has the families that only these rows have

        return ALIGNED[variant]
    if variant in RESHAPED:
        from benchmarks.accuracy import placing  # has the families and backbones of these rows

        return RESHAPED[variant]
    if variant in ADAPTERS:
        from benchmarks.accuracy import placing  # noqa: F401  # has the backbone of one of these rows

        return ADAPTERS[variant]
    if variant in ABLATIONS:
        return ABLATIONS[variant]
    if variant in CODECS:
        start = STARTS.get(name.partition("/")[0])
        return _changes(start, name, epochs) if start else {}
    kind, _, level = variant.partition("-")
    if kind == "long" and (level in (*FAMILIES, CHAIN) or level.startswith("fixed-")):
        changes = _changes(level, name, epochs)
        return {**changes, "stage3": {**changes.get("stage3", {}), "epochs": round(LONG * epochs)}}
    if kind in ("fixed", "lbg") and level.isdecimal():
        one_rate = {"codebook": {"family": "fixed", "max_level": int(level), "eta": 0.0}}
        return one_rate if kind == "fixed" else {**one_rate, "stage3": {"epochs": 0}}
    by_level = ("fixed-LEVEL", "long-fixed-LEVEL", "lbg-LEVEL")
    known = ", ".join(
        (*FAMILIES, CHAIN, "long-FAMILY", *JOINT, *GENERATORS, *ALIGNED, *RESHAPED, *by_level, *CODECS, *ABLATIONS)
    )
    raise RecipeError(f"There is no row {name!r}; its variant is one of {known}.")


def result_path(name: str) -> Path:
    """Where a row's figures are committed."""
    return RESULTS / f"{name}.json"
