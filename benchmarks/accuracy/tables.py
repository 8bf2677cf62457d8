"""The tables, printed from committed results."""

from __future__ import annotations

import json
from itertools import product
from statistics import mean, stdev
from typing import Any

from rich.console import Console
from rich.table import Table

from artoveq.scenarios import KAPPA, MAX_LEVEL, points_by_rate
from benchmarks.accuracy.results import NAMES, families, gaps, mixed_against_identical, shipped, shipped_families
from benchmarks.accuracy.rows import CODECS, IDEAS, PROFILES

console = Console(width=150)


def percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f}"


def print_table1(results: dict[str, dict[str, Any]]) -> None:
    """Expected top-1 under the three dynamic channels, one row a family, beside the paper's."""
    paper = json.loads((PROFILES.parent / "paper.json").read_text())
    heads = ("gap to fixed, S1", "at equal epochs", "paper S1", "paper's gap")
    table = Table("profile", "family", "seeds", *KAPPA, *heads, title="Top-1, %")
    all_families = [*families(results), *shipped_families()]
    for f in sorted(all_families, key=lambda one: one.profile):
        spread = stdev(f.scenario("S1")) if len(f.seeds) > 1 else None
        s1 = percent(mean(f.scenario("S1")), 2) + (f" ± {percent(spread, 2)}" if spread is not None else "")
        others = [percent(mean(f.scenario(name)), 2) for name in ("S2", "S3")]
        gap, of_equal = gaps(all_families, f)
        theirs = paper.get(f.profile, {}).get(f.family, {}).get("S1")
        their_gap = paper["gaps"].get(f.profile, {}).get(f.family)
        table.add_row(
            f.profile, NAMES[f.family], str(len(f.seeds)), s1, *others, percent(gap, 2), percent(of_equal, 2),
            percent(theirs), percent(their_gap, 2),
        )  # fmt: skip
    console.print(table)
    console.print(
        "± is the standard deviation over seeds of stages 2 and 3; all rows of a profile share stage 1; "
        "artifacts have epochs of their own, and a gap at equal ones where fixed-rate models have as many. "
        f"S1: all rates alike, S2: low ones likelier, S3: high ones likelier. Paper: {paper['source']}"
    )


def print_levels(results: dict[str, dict[str, Any]]) -> None:
    """Top-1 of every family at every level."""
    table = Table(
        "profile", "family", *[f"{level}" for level in range(1, 9)], title="Top-1 by level, %, mean over seeds"
    )
    for f in families(results):
        cells = [[r[level] for r in f.seeds.values() if level in r] for level in range(1, 9)]
        if not f.family.startswith("single"):
            table.add_row(f.profile, NAMES[f.family], *[percent(mean(c), 2) if c else "–" for c in cells])
    console.print(table)


def print_mixed(results: dict[str, dict[str, Any]]) -> None:
    """Mixed resolution against the identical allocation of the same bits."""
    for profile, kind in product(sorted({name.split("/")[0] for name in results}), ("", "long-")):
        rows = mixed_against_identical(results, profile, kind)
        if not rows:
            continue
        title = f"{profile}, {kind}mixed and {kind}nested, top-1, %"
        table = Table("bits a sub-vector", "allocation", "mixed", "identical level", "identical", title=title)
        for row in rows:
            allocation, level = " ".join(map(str, row["allocation"])), f"{row['level']:g}"
            scores = percent(row["mixed"], 2), level, percent(row["identical"], 2)
            table.add_row(f"{row['rate']:g}", allocation, *scores)
        console.print(table)
        better = sum(row["mixed"] > row["identical"] for row in rows)
        equal = [row for row in rows if row["rate"] == row["level"]]
        strict = sum(row["mixed"] > row["identical"] for row in equal)
        console.print(
            f"Mixed is better in {better} of {len(rows)} budgets ({better / len(rows):.0%}); in {strict} of the "
            f"{len(equal)} whose bits an identical level uses up."
        )


def print_ablations(results: dict[str, dict[str, Any]]) -> None:
    """One change each, same seed, same epochs; means over the levels."""
    table = Table(
        "profile", "change", "NLL", "top-1, %", "minutes", title="Held-out training pictures, means over levels"
    )
    for name in sorted(results):
        profile, variant, seed = name.split("/")
        if seed != "0" or (variant != "progressive" and variant not in IDEAS):
            continue
        result = results[name]
        held = [row for row in result["held_out"] if row["allocation"]]
        nll, top1 = (mean(row[key] for row in held) for key in ("nll", "top1"))
        change = "(none)" if variant == "progressive" else variant
        table.add_row(profile, change, f"{nll:.4f}", percent(top1, 2), f"{result['minutes']:.1f}")
    console.print(table)
    for idea, verdict in IDEAS.items():
        console.print(f"{idea}: {verdict}")


def print_codecs(results: dict[str, dict[str, Any]]) -> None:
    """The shipped model beside a picture sent as a file, on the same pictures."""
    for profile in sorted({name.split("/")[0] for name in results}):
        codecs = [(c, results[f"{profile}/{c}/0"]) for c in CODECS if f"{profile}/{c}/0" in results]
        if not codecs:
            continue
        table = Table("sent", "bytes", "top-1, network as it is", "top-1, fine-tuned on such pictures", title=profile)
        for manifest in shipped(profile):
            for level in range(1, MAX_LEVEL + 1):
                if point := points_by_rate(manifest).get(level):
                    sent = f"level {level}" if level in manifest.levels else f"{level} bits a sub-vector"
                    figures = f"{point.mean_bytes:.0f}", percent(point.metric)
                    table.add_row(f"{manifest.name}, {sent}", *figures, "")
        for codec, result in codecs:
            for row in sorted(result["test"], key=lambda r: float(r["payload_bytes"])):
                sent = f"{codec}, {row['side']}×{row['side']}, quality {row['quality']}"
                scores = (percent(row[k]["top1"]) for k in ("as it is", "fine-tuned"))
                table.add_row(sent, f"{row['payload_bytes']:.0f}", *scores)
        console.print(table)
        for sentence in codec_sentences(profile, codecs):
            console.print(sentence)


def codec_sentences(profile: str, codecs: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """What the best codec needs many more bytes for, beside each shipped model at its level 1."""
    sentences = []
    for manifest in shipped(profile):
        ours = points_by_rate(manifest).get(1.0)
        if ours is None:
            continue
        for times, network in ((10, "as it is"), (5, "fine-tuned")):
            best = max(
                (row[network]["top1"], codec, row["payload_bytes"])
                for codec, result in codecs
                for row in result["test"]
                if row["payload_bytes"] <= times * ours.mean_bytes
            )
            sent = f"{manifest.name}: {percent(ours.metric)} % at {ours.mean_bytes:.0f} bytes"
            theirs = f"{percent(best[0])} % ({best[1]}, {best[2]:.0f} bytes), network {network}"
            sentences.append(f"{sent}; with {times} times as many the best codec reaches {theirs}.")
    return sentences
