"""Questions about pictures: what answers need of the picture, and what of it crosses.

Rows, all from one stage 1 and with the same epochs after it: "aligned", the recipe as it is, at its levels and at the
planes of the first; "unquantised", the same network without a quantiser; and "smollm2", a language model that reads the
first one's tokens, at its levels and unquantised, by whole sentences that are right word for word. Beside them, without
any training: "question alone", the answer that the question has most often, and all rows with the pictures of other
questions. `answering.py` and `speaking.py` train and measure them; here is what their figures come to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.markdown import plain_table, table
from benchmarks.results import Bar, read_results
from wire.manifest import Manifest

ALIGNED, UNQUANTISED, SPOKEN, ALONE = "aligned", "unquantised", "smollm2", "question alone"
CHOSEN = (ALIGNED, UNQUANTISED)
"""Rows whose answers are chosen from those that there are."""
ROWS = (*CHOSEN, SPOKEN)
SHUFFLED = {row: f"{row}, other pictures" for row in ROWS}
SPOKEN_ALONE, SPOKEN_UNQUANTISED = f"{SPOKEN}, {ALONE}", f"{SPOKEN}, {UNQUANTISED}"
"""Of the pictures that the language model is asked about, which are some of the others'."""
BESIDE = {row: (SHUFFLED[row],) for row in ROWS} | {SPOKEN: (SPOKEN_ALONE, SHUFFLED[SPOKEN], SPOKEN_UNQUANTISED)}
"""Rows that are measured with one that is trained, in the table before it."""
WITHIN = (8, 16, 64)
"""Bytes of a picture."""
RIGHT, BEHIND_POINTS, ABOVE_POINTS = 0.95, 2.0, 1.0
"""Of the finest point: share of right answers; points behind the unquantised row; points that other pictures give."""


def merged(found: Mapping[str, Any], earlier: Mapping[str, Any] | None, recipes: Mapping[str, str]) -> dict[str, Any]:
    """What was found now, and of what was found earlier the other rows, where their recipes have not changed since.

    recipes: a key for each row that is trained.
    """
    trained = dict(found["trained"])
    rows = list(found["rows"])
    for row, of in (earlier or {"trained": {}})["trained"].items():
        if row not in trained and of["recipe"] == recipes.get(row):
            trained[row] = of
            rows += [one for one in (earlier or {})["rows"] if one["row"] in (row, *BESIDE[row])]
    order = [ALONE, *(name for row in ROWS for name in (*BESIDE[row], row))]
    return {**found, "trained": trained, "rows": sorted(rows, key=lambda one: order.index(one["row"]))}


def bars(figures: Mapping[str, Any]) -> list[Bar]:
    """Of the finest point: how often it is right, how far behind, and that nothing but the picture tells more."""
    last = {row["row"]: row["accuracy"] for row in figures["rows"]}
    found = []
    if ALIGNED in last:
        found.append(Bar("right answers", last[ALIGNED], RIGHT, "at least"))
    if ALIGNED in last and UNQUANTISED in last:
        behind = round(100 * (last[UNQUANTISED] - last[ALIGNED]), 2)
        found.append(Bar("points behind the unquantised network", behind, BEHIND_POINTS, "at most"))
    if SPOKEN in last:
        found.append(Bar(f"{SPOKEN}: right answers", last[SPOKEN], RIGHT, "at least"))
        behind = round(100 * (last[SPOKEN_UNQUANTISED] - last[SPOKEN]), 2)
        found.append(Bar(f"{SPOKEN}: points behind its own, unquantised", behind, BEHIND_POINTS, "at most"))
    for row in ROWS:
        if SHUFFLED[row] in last:
            above = round(100 * (last[SHUFFLED[row]] - last[SPOKEN_ALONE if row == SPOKEN else ALONE]), 2)
            found.append(Bar(f"{SHUFFLED[row]}: points above the question alone", above, ABOVE_POINTS, "at most"))
    return found


def short_table(manifests: Sequence[Manifest]) -> str:
    """Models that are asked: what they answer with, and how often they are right, at the fewest bytes and more."""
    lines = []
    for manifest in manifests:
        cheapest, questions = manifest.points[0], manifest.task.questions
        says = "a sentence" if questions is None else f"one of {len(questions.answers)} answers"
        within = [max((p.metric for p in manifest.points if p.payload_bytes <= most), default=0.0) for most in WITHIN]
        tops = [f"{100 * top:.1f}" for top in (*within, manifest.unquantised_metric)]
        first = f"{100 * cheapest.metric:.1f} ({cheapest.payload_bytes} bytes)"
        lines.append([manifest.name, says, first, *tops])
    heads = ("model", "answers with", "fewest bytes", *(f"{most} bytes" for most in WITHIN), "unquantised")
    return table(heads, lines)


def questions_table() -> str:
    """Every row, and the bars."""
    result = read_results("accuracy", "questions")
    return "`python -m benchmarks.accuracy questions` was not run yet." if result is None else plain_table(result)
