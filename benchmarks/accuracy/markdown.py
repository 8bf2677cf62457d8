"""The tables of accuracy and bytes in the READMEs."""

from __future__ import annotations

from collections.abc import Callable
from statistics import mean

from artoveq.scenarios import KAPPA, MAX_LEVEL, points_by_rate
from benchmarks.accuracy.aligned import all_tables
from benchmarks.accuracy.questions import short_table
from benchmarks.accuracy.reconstruction import reconstruction_table
from benchmarks.accuracy.results import (
    NAMES,
    NAMES_OF_GENERATORS,
    asked,
    families,
    gaps,
    mixed_against_identical,
    rates_of,
    read,
    shipped,
    shipped_aligned,
)
from benchmarks.accuracy.rows import CODECS, GENERATORS, SIZES
from benchmarks.accuracy.tables import codec_sentences, percent
from benchmarks.markdown import plain_table, table
from benchmarks.results import read_results

LEVELS = range(1, MAX_LEVEL + 1)
ANY_SIZE, SEEDS = "imagewoof64-compact", 2
"""The profile in which ways to one model for any size are compared, and seeds that are looked for."""


def models_table() -> str:
    """Every shipped artifact on the edge alone and at 1 to 8 bits a sub-vector, with the mean of what is sent."""
    rows: list[list[str]] = []
    for manifest in shipped():
        points = points_by_rate(manifest)
        found = [points.get(level) for level in LEVELS]
        average = percent(mean(point.metric for point in found if point)) if any(found) else ""
        minutes = f"{manifest.recipe['minutes']:.0f}"
        tops = [percent(point.metric) if point else "–" for point in found]
        head = manifest.local_head
        without = [percent(manifest.unquantised_metric), percent(head.metric if head else None)]
        sent = [f"{point.mean_bytes:.0f}" if point else "–" for point in found]
        rows.append([manifest.name, minutes, *without, *tops, average])
        rows.append(["*bytes*", "", "0", "0" if head else "", *sent, ""])
    alone, levels = ["whole network on the edge", "point 0"], ["level 1", *map(str, LEVELS[1:])]
    heads = ["model", "minutes", *alone, *levels, "mean"]
    return table(heads, rows)


def coding_sentence() -> str:
    """What entropy coding saves, model by model."""
    saved = []
    for manifest in shipped():
        points = [manifest.point(number) for number in manifest.levels.values()] or list(manifest.points)
        share = 1 - sum(point.mean_bytes for point in points) / sum(point.payload_bytes for point in points)
        saved.append(f"{100 * share:.0f} % of the bytes of {manifest.name}")
    return f"That saves {', '.join(saved[:-1])} and {saved[-1]}." if len(saved) > 1 else f"That saves {saved[0]}."


def families_table() -> str:
    """Table I: expected top-1 under the three dynamic channels."""
    all_families = families(read())
    rows = []
    for f in all_families:
        row = f.row()
        figures = [percent(row[name], 2) for name in KAPPA]
        rows.append(
            [f.profile, NAMES[f.family], len(f.seeds), *figures, *(percent(gap, 2) for gap in gaps(all_families, f))]
        )
    return table(("profile", "family", "seeds", *KAPPA, "gap to fixed, S1", "at equal epochs"), rows)


def mixed_sentences() -> str:
    """In how many budgets mixed resolution is better than one level for all."""
    results, sentences = read(), []
    for profile in sorted({name.split("/")[0] for name in results}):
        for kind in ("", "long-"):
            if rows := mixed_against_identical(results, profile, kind):
                better = sum(row["mixed"] > row["identical"] for row in rows)
                sentences.append(
                    f"- {profile}, {kind}mixed and {kind}nested: mixed resolution is better than one level for all in "
                    f"{better} of the {len(rows)} budgets between M and 4M."
                )
    return "\n".join(sentences)


def codecs_sentences() -> str:
    """What the best codec reaches with many times the bytes."""
    results, sentences = read(), []
    for profile in sorted({name.split("/")[0] for name in results}):
        codecs = [(c, results[f"{profile}/{c}/0"]) for c in CODECS if f"{profile}/{c}/0" in results]
        sentences += codec_sentences(profile, codecs) if codecs else []
    return "\n".join(f"- {sentence}" for sentence in sentences)


def sqnr_table() -> str:
    """Ways to codebooks of any size, in dB, size by size."""
    result = read_results("accuracy", "sqnr")
    if result is None:
        return "`python -m benchmarks.accuracy sqnr` was not run yet."
    figures = result["figures"]
    rows = [[name, *(f"{row[str(k)]:.2f}" for k in figures["sizes"])] for name, row in figures["sqnr_db"].items()]
    return table(("SQNR in dB at size", *map(str, figures["sizes"])), rows)


def robustness_table() -> str:
    """What poor cameras cost, model by model."""
    result = read_results("accuracy", "robustness")
    return "`python -m benchmarks.accuracy robustness` was not run yet." if result is None else plain_table(result)


def generators_table() -> str:
    """Ways to one model for any size, trained with the network: top-1, size by size, beside a model for each size."""
    results = read()
    names = [f"{ANY_SIZE}/{variant}/{seed}" for variant in GENERATORS for seed in range(SEEDS)]
    found = [(name, results[name]) for name in names if name in results]
    if not found:
        return f"`python -m benchmarks.accuracy rerun {names[0]} …` was not run yet."
    fixed = {2**level: results.get(f"{ANY_SIZE}/fixed-{level}/0") for level in LEVELS}
    tops = [percent(max(rates_of(one).values())) if (one := fixed.get(size)) else "–" for size in SIZES]
    rows: list[list[object]] = [["a model for each size, seed 0", *tops, "–"]]
    for name, result in found:
        _, variant, seed = name.split("/")
        top1 = {row["size"]: percent(row["top1"]) for row in result["test"]}
        rows.append([f"{NAMES_OF_GENERATORS[variant]}, seed {seed}", *map(top1.get, SIZES), f"{result['minutes']:.0f}"])
    return table(("top-1, %, at size", *map(str, SIZES), "minutes"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "models": models_table,
    "coding": coding_sentence,
    "families": families_table,
    "mixed": mixed_sentences,
    "codecs": codecs_sentences,
    "reconstruction": reconstruction_table,
    "sqnr": sqnr_table,
    "generators": generators_table,
    "robustness": robustness_table,
    "questions in short": lambda: short_table(asked()),
    "aligned": lambda: all_tables(read(), shipped_aligned()),
}
