"""VQ-VAEs that reconstruct: one model of any codebook size beside a model for each size, and what RAQ's paper has.

Rows, all from one stage 1: "rate-adaptive", the recipe as it is; "fixed-LEVEL", one codebook of 2^LEVEL codewords, each
with a third of its epochs after stage 1; "rate-adaptive-equal" with as few; and without any training "random", random
rows of the largest of those codebooks.
`autoencoders.py` trains and measures them; here is what their figures come to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.accuracy.results import paper
from benchmarks.markdown import table
from benchmarks.results import Bar, read_results

ADAPTIVE, EQUAL, RANDOM = "rate-adaptive", "rate-adaptive-equal", "random"
FIXED_LEVELS = (4, 6, 8, 10)
ROWS = (ADAPTIVE, EQUAL, *(f"fixed-{level}" for level in FIXED_LEVELS))
NETWORK = "mobilenet_v2"
"""Whose features the Fréchet distance is of."""
FRECHET = f"{NETWORK}_frechet_distance"
GAP_DB, GAP_16_DB = 0.6, 0.94
"""What RAQ loses at most against a model for each size, from 64 codewords on, and at 16, in its paper."""
PAPER = ("raq-128", "raq-64", "model-based-128", "random")


def merged(found: Mapping[str, Any], earlier: Mapping[str, Any] | None, recipes: Mapping[str, str]) -> dict[str, Any]:
    """What was found now, and of what was found earlier the other rows, where their recipes have not changed since.

    recipes: a key for each row that is trained; random rows belong to the largest fixed one.
    """
    largest = ROWS[-1]
    kept = {
        row: trained
        for row, trained in (earlier["trained"] if earlier else {}).items()
        if row not in found["trained"] and trained["recipe"] == recipes.get(row)
    }
    rows = [
        row for row in (earlier["rows"] if earlier else []) if (largest if row["row"] == RANDOM else row["row"]) in kept
    ]
    both = {**kept, **found["trained"]}
    order = [*ROWS, RANDOM]
    return {
        **found,
        "trained": {row: both[row] for row in ROWS if row in both},
        "rows": sorted([*rows, *found["rows"]], key=lambda row: order.index(row["row"])),
    }


def psnr_by_size(figures: Mapping[str, Any]) -> dict[str, dict[int, float]]:
    """dB by row and size; a model for each size is one row, "fixed"."""
    found: dict[str, dict[int, float]] = {}
    for row in figures["rows"]:
        name = "fixed" if row["row"].startswith("fixed-") else row["row"]
        found.setdefault(name, {})[row["size"]] = row["psnr"]
    return found


def bars(figures: Mapping[str, Any]) -> list[Bar]:
    """How far one model is behind a model for each size."""
    of = psnr_by_size(figures)
    gaps = {size: psnr - of[ADAPTIVE][size] for size, psnr in of.get("fixed", {}).items() if ADAPTIVE in of}
    limits = {size: GAP_16_DB if size == 16 else GAP_DB for size in gaps}
    return [Bar(f"dB behind a model for K = {size}", round(gaps[size], 3), limits[size], "at most") for size in gaps]


def reconstruction_table() -> str:
    """Gaps to a model for each size, in dB, ours beside the paper's; and our levels."""
    result = read_results("accuracy", "reconstruction")
    if result is None:
        return "`python -m benchmarks.accuracy reconstruction` was not run yet."
    ours, theirs = psnr_by_size(result["figures"]), paper("raq")["psnr"]
    adaptive = {row["size"]: row for row in result["figures"]["rows"] if row["row"] == ADAPTIVE}
    lines = []
    for size in sorted({*adaptive, *ours.get("fixed", {})}, reverse=True):
        row, fixed, their_fixed = adaptive.get(size), ours.get("fixed", {}).get(size), theirs["fixed"].get(str(size))
        lines.append([
            size,
            _figure(row and row["psnr"]),
            _figure(row and row["ssim"], 3),
            _figure(row and row["perplexity"], 0),
            _figure(row and row[FRECHET], 1),
            _figure(fixed),
            _gap(ours.get(ADAPTIVE, {}).get(size), fixed),
            _gap(ours.get(EQUAL, {}).get(size), fixed),
            _gap(ours.get(RANDOM, {}).get(size), fixed),
            *(_gap(theirs[key].get(str(size)), their_fixed) for key in PAPER),
        ])  # fmt: skip
    heads = (
        "K", "PSNR, dB", "SSIM", "perplexity", "Fréchet distance, MobileNetV2", "a model for each K, dB", "gap, dB",
        "at equal epochs", "random rows", "paper: RAQ, K = 128", "RAQ, K = 64", "model-based", "random rows",
    )  # fmt: skip
    return table(heads, lines)


def _gap(value: float | None, fixed: float | None) -> str:
    return "–" if value is None or fixed is None else f"{value - fixed:+.2f}"


def _figure(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
