"""Aligned models: what they lose for which bytes, beside WebP; and what gates and channel groups are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.accuracy.rows import ADAPTERS, ALIGNED, CODECS, RESHAPED
from benchmarks.markdown import table
from benchmarks.results import Bar
from wire.manifest import Manifest

PROFILE, OF_VIT = "imagewoof112-transformer", "imagewoof112-vit"
BUDGETS = (49, 98, 196, 392)
"""Bytes: 8, 16, 32 and 64 bits a token of 49."""
VIT = "imagewoof112-vit-aligned"
LOST_POINTS = {288: 2.2, 112: 5.0}
"""At most so many points below its own unquantised split, within so many bytes."""
TIMES_WEBP = 5.0


def bars(manifest: Manifest) -> list[Bar]:
    """Of the model on the vision transformer, by all bytes that cross."""
    found = []
    for most, limit in LOST_POINTS.items():
        within = [point.metric for point in manifest.points if point.payload_bytes <= most]
        lost = round(100 * (manifest.unquantised_metric - max(within, default=0.0)), 2)
        found.append(Bar(f"points lost within {most} bytes", lost, limit, "at most"))
    ratios = [ratio for _, _, ratio in beside_webp(manifest) if ratio is not None]
    found += [Bar("times as many bytes for WebP, at least", min(ratios), TIMES_WEBP, "at least")] if ratios else []
    return found


def beside_webp(manifest: Manifest) -> list[tuple[float, float, float | None]]:
    """For each point of WebP its metric, bytes, and how many times those of our cheapest point that is as good."""
    rows = []
    for file in manifest.codec:
        ours = [point.mean_bytes for point in manifest.points if point.metric >= file.metric]
        rows.append((file.metric, file.payload_bytes, round(file.payload_bytes / min(ours), 2) if ours else None))
    return rows


def models_table(manifests: Sequence[Manifest]) -> str:
    """Top-1 at the best point within so many bytes, and unquantised."""
    lines = []
    for manifest in manifests:
        tops = [_best([(p.payload_bytes, p.metric) for p in manifest.points], most) for most in (112, 288, 10**6)]
        lines.append([manifest.name, *tops, f"{100 * manifest.unquantised_metric:.1f}"])
    return table(("model", "112 bytes", "288 bytes", "all", "unquantised"), lines)


def ablations_table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Top-1 of the held-out training pictures and of the test pictures, at equal bytes; seed by seed.

    Rows with "beside-x" are no system: more crosses than is counted.
    """
    lines = []
    rows = [*((PROFILE, variant) for variant in (*ALIGNED, *RESHAPED)), *((OF_VIT, variant) for variant in ADAPTERS)]
    for profile, variant in rows:
        for name in sorted(one for one in results if one.startswith(f"{profile}/{variant}/")):
            result = results[name]
            cells = [
                " / ".join(
                    _best([(row["payload_bytes"], row["top1"]) for row in result[split]], most) for split in PARTS
                )
                for most in BUDGETS
            ]
            lines.append([variant, name.rpartition("/")[2], *cells, f"{result['minutes']:.0f}"])
    if not lines:
        return f"No row of {PROFILE} was trained yet: `python -m benchmarks.accuracy rerun {PROFILE}/linear/0`."
    return table(("row", "seed", *(f"{most} bytes" for most in BUDGETS), "minutes"), lines)


def grid_table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Top-1 of the test pictures from the first tokens of "prefix" alone, at every level, with the bytes of each."""
    grid = results.get(f"{PROFILE}/prefix/0", {}).get("grid", [])
    if not grid:
        return f"Tokens by levels were not trained yet: `python -m benchmarks.accuracy rerun {PROFILE}/prefix/0`."
    levels = sorted({row["allocation"][0] for row in grid if row["allocation"]})
    lines = []
    for tokens in sorted({row["tokens"] for row in grid}):
        of = {row["allocation"][0]: row for row in grid if row["tokens"] == tokens and row["allocation"]}
        cells = [f"{100 * of[level]['top1']:.1f} ({of[level]['payload_bytes']:.0f} B)" for level in levels]
        lines.append([str(tokens), *cells])
    return table(("tokens", *(f"level {level}" for level in levels)), lines)


def files_table(results: Mapping[str, Mapping[str, Any]], manifests: Sequence[Manifest]) -> str:
    """Top-1 of the test pictures sent as files, and how many times the bytes of our cheapest point that is as good.

    Ours is the model of this profile; the files' network is the same without a quantiser, fine-tuned on such files.
    """
    ours = [(p.mean_bytes, p.metric) for one in manifests if one.name.startswith(f"{PROFILE}-") for p in one.points]
    lines = []
    for codec in CODECS:
        for row in sorted(
            results.get(f"{PROFILE}/{codec}/0", {}).get("test", ()), key=lambda row: row["payload_bytes"]
        ):
            sent, tops = row["payload_bytes"], [row[network]["top1"] for network in ("as it is", "fine-tuned")]
            good = [cost for cost, metric in ours if metric >= tops[1]]
            times = f"{sent / min(good):.1f} ({min(good):.0f} bytes)" if good else "–"
            shown = (f"{100 * top:.1f}" for top in tops)
            lines.append([codec, f"{row['side']}×{row['side']}, {row['quality']}", f"{sent:.0f}", *shown, times])
    if not lines:
        return f"No files were sent yet: `python -m benchmarks.accuracy rerun {PROFILE}/webp/0`."
    heads = ("file", "side, quality", "bytes", "network as it is", "fine-tuned", "times our bytes")
    return table(heads, lines)


def all_tables(results: Mapping[str, Mapping[str, Any]], manifests: Sequence[Manifest]) -> str:
    """Models, their parts, tokens by levels, and files beside them."""
    return "\n\n".join(
        (
            models_table(manifests),
            ablations_table(results),
            grid_table(results),
            files_table(results, manifests),
        )
    )


PARTS = ("held_out", "test")


def _best(points: Sequence[tuple[float, float]], most: float) -> str:
    """In %, within so many bytes; no byte is the unquantised network, and not meant."""
    within = [metric for cost, metric in points if 0 < cost <= most]
    return f"{100 * max(within):.1f}" if within else "–"
