"""Committed results, read into what the tables and plots need."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from artoveq.scenarios import KAPPA, MAX_LEVEL, best_single, delivered, points_by_rate
from benchmarks.accuracy.rows import ADAPTERS, ALIGNED, CODECS, GENERATORS, IDEAS, RESHAPED, RESULTS
from wire.manifest import MANIFEST, QUESTION_ANSWERING, Manifest
from wire.manifest_json import parse_manifest

MODELS = Path(__file__).parent.parent.parent / "models"

FIXED, LONG_FIXED, SINGLE, SHIPPED = "fixed", "long-fixed", "single-rate", "shipped"
NAMES = {
    "fixed": "fixed-rate VQ-VAE, one model a rate",
    "single-rate": "fixed-rate VQ-VAE, the best one alone",
    "long-fixed": "fixed-rate VQ-VAE, one model a rate, each as long as long ones",
    "lbg": "LBG on the unquantised network, one codebook a rate",
    "single-rate lbg": "LBG on the unquantised network, the best one alone",
    "residual": "residual VQ-VAE",
    "nested": "nested",
    "mixed": "mixed resolution",
    "progressive": "progressive",
    "long-nested": "nested, minutes of the eight",
    "long-mixed": "mixed resolution, minutes of the eight",
    "long-progressive": "progressive, minutes of the eight",
    "chain": "progressive, prefixes of its chain trained",
    "long-chain": "progressive, prefixes of its chain trained, minutes of the eight",
    "joint-nested": "nested, our training",
    "joint-progressive": "progressive, our training",
    "shipped progressive": "progressive, the shipped artifact",
    "shipped nested": "nested, the shipped artifact",
    "shipped mixed": "mixed resolution, the shipped artifact",
    "shipped rate-adaptive": "rate-adaptive, the shipped artifact",
    "shipped aligned": "aligned, the shipped artifact",
}
NAMES_OF_GENERATORS = {
    "free-table": "free table (rate-adaptive)",
    "lstm": "Seq2Seq LSTM, cross-forcing",
    "lstm-free-running": "Seq2Seq LSTM, no cross-forcing",
    "model-based": "model-based: DKM and IKM of 128",
    "random-rows": "random rows of 1024",
}

Rates = dict[float, float]
"""Top-1 by rate in bits a sub-vector."""


@dataclass(frozen=True)
class Family:
    """All results of one family in one profile: what each seed reaches at each rate."""

    profile: str
    family: str
    seeds: dict[int, Rates]
    epochs: int | None = None
    """Of stage 3, where that is known."""

    def scenario(self, name: str) -> list[float]:
        """Expected top-1 of every seed."""
        measure = best_single if self.family.startswith(SINGLE) else delivered
        return [measure(rates, name) for rates in self.seeds.values()]

    def row(self) -> dict[str, Any]:
        """Means over the seeds, as fractions."""
        figures = {name: round(mean(self.scenario(name)), 6) for name in KAPPA}
        return {"profile": self.profile, "family": self.family, **figures}


def read(folder: Path = RESULTS) -> dict[str, dict[str, Any]]:
    """Every committed row by its name."""
    files = sorted(folder.glob("*/*/*.json"))
    return {str(p.relative_to(folder).with_suffix("")): json.loads(p.read_text()) for p in files}


def shipped(profile: str = "*", models: Path = MODELS) -> list[Manifest]:
    """The artifacts of a profile that tell classes apart: measured metrics and bytes, entropy coding included."""
    return [manifest for manifest in _manifests(profile, models) if manifest.task.classes]


def shipped_aligned(models: Path = MODELS) -> list[Manifest]:
    """The aligned ones among them, of pictures of 112×112."""
    return [manifest for manifest in shipped("imagewoof112", models) if manifest.family == "aligned"]


def asked(models: Path = MODELS) -> list[Manifest]:
    """The artifacts that answer questions."""
    return [manifest for manifest in _manifests("*", models) if manifest.task.name == QUESTION_ANSWERING]


def _manifests(profile: str, models: Path) -> list[Manifest]:
    paths = sorted(models.glob(f"{profile}-*/{MANIFEST}"))
    return [parse_manifest(path.read_bytes(), str(path)) for path in paths]


def paper(name: str) -> dict[str, Any]:
    """What a paper has, as `paper.json` names it."""
    found: dict[str, Any] = json.loads((RESULTS.parent / "paper.json").read_text())[name]
    return found


def rates_of(result: dict[str, Any], split: str = "test") -> Rates:
    """Top-1 by rate, the unquantised network left out."""
    return {mean(row["allocation"]): row["top1"] for row in result[split] if row["allocation"]}


def families(results: dict[str, dict[str, Any]]) -> list[Family]:
    """The families of Table I, profile after profile.

    Rows of a single rate are one family together; a seed that lacks some of its rates is left out.
    """
    found: dict[tuple[str, str], dict[int, Rates]] = defaultdict(lambda: defaultdict(dict))
    epochs: dict[tuple[str, str], int | None] = {}
    for name, result in results.items():
        profile, variant, seed = name.split("/")
        if variant in {*CODECS, *IDEAS, *GENERATORS, *ALIGNED, *RESHAPED, *ADAPTERS}:
            continue
        kind, _, level = (variant, "", "") if variant in NAMES else variant.rpartition("-")
        rates = rates_of(result)
        found[profile, kind][int(seed)] |= rates
        epochs[profile, kind] = result["recipe"]["stage3"]["epochs"] if "recipe" in result else None
        if level and kind != LONG_FIXED:
            found[profile, SINGLE if kind == FIXED else f"{SINGLE} {kind}"][int(seed)] |= rates
    order = list(NAMES)
    rows = []
    for profile, family in sorted(found, key=lambda key: (key[0], order.index(key[1]))):
        seeds = {seed: r for seed, r in sorted(found[profile, family].items()) if len(r) >= MAX_LEVEL}
        rows += [Family(profile, family, seeds, epochs.get((profile, family)))] if seeds else []
    return rows


def shipped_families(models: Path = MODELS) -> list[Family]:
    """The shipped artifacts as families of one seed, as their manifests have them: through the exported parts."""
    found = []
    for manifest in shipped(models=models):
        rates = {rate: point.metric for rate, point in points_by_rate(manifest).items()}
        profile, stage = manifest.name.removesuffix(f"-{manifest.family}"), manifest.recipe["stage3"]
        seeds = {int(stage.get("seed", 0)): rates}
        found.append(Family(profile, f"{SHIPPED} {manifest.family}", seeds, stage["epochs"]))
    return found


def gaps(all_families: list[Family], family: Family) -> tuple[float | None, float | None]:
    """S1 of the fixed-rate models less the family's: of those as the table has them, and of those of equal epochs.

    Negative where the family is better; None of fixed rates themselves, and where there are none to compare with.
    """
    if family.family in (FIXED, LONG_FIXED):
        return None, None
    s1 = {f.family: mean(f.scenario("S1")) for f in all_families if f.profile == family.profile}
    equal = LONG_FIXED if family.family.startswith("long-") else FIXED
    if family.family.startswith(SHIPPED):  # artifacts have epochs of their own
        fixed = {f.family: f.epochs for f in all_families if f.profile == family.profile}
        equal = next((kind for kind in (FIXED, LONG_FIXED) if fixed.get(kind) == family.epochs), "")
    found = [s1[fixed] - s1[family.family] if fixed in s1 else None for fixed in (FIXED, equal)]
    return found[0], found[1]


def mixed_against_identical(results: dict[str, dict[str, Any]], profile: str, kind: str = "") -> list[dict[str, Any]]:
    """For every budget from M to 4M bits: mixed resolution beside the nested model at the highest level that fits.

    kind: "" or "long-", which of the two trainings of each.
    """
    mixed, nested = (results.get(f"{profile}/{kind}{family}/0") for family in ("mixed", "nested"))
    if mixed is None or nested is None:
        return []
    identical = rates_of(nested)
    rows = []
    for row in mixed["test"]:
        if row["allocation"] and mean(row["allocation"]) <= 4:
            rate = mean(row["allocation"])
            level = max(l for l in identical if l <= rate)
            rows.append(
                {
                    "rate": rate,
                    "allocation": row["allocation"],
                    "mixed": row["top1"],
                    "level": level,
                    "identical": identical[level],
                }
            )
    return rows
