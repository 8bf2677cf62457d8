"""The benchmark of questions: its bars, what is kept of earlier runs, its floor, and a whole run of it, small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.accuracy import answering, speaking
from benchmarks.accuracy.questions import (
    ALIGNED,
    ALONE,
    BESIDE,
    CHOSEN,
    SHUFFLED,
    SPOKEN,
    SPOKEN_ALONE,
    SPOKEN_UNQUANTISED,
    UNQUANTISED,
    bars,
    merged,
    short_table,
)
from benchmarks.accuracy.results import asked
from tests.training.asked import STAGE, FewBlocks, recipe, write_questions
from tests.training.spoken import install_language_model
from training.backbones import BACKBONES
from training.data import load_split
from training.language.recipe import LanguageRecipe
from training.recipe import checked
from training.stages import train


def figures_of(recipe: str = "a", **accuracy: float) -> dict[str, Any]:
    rows = [{"row": ALONE, "accuracy": 0.67}]
    for row, value in accuracy.items():
        rows += [
            {"row": SHUFFLED[row], "accuracy": 0.6},
            {"row": row, "accuracy": 0.1},
            {"row": row, "accuracy": value},
        ]
    return {"rows": rows, "trained": {row: {"recipe": recipe} for row in accuracy}}


def test_the_finest_point_is_held_to_the_bars() -> None:
    found = {bar.name: (bar.value, bar.holds) for bar in bars(figures_of(aligned=0.96, unquantised=0.985))}
    assert found["right answers"] == (0.96, True)
    assert found["points behind the unquantised network"] == (2.5, False)
    assert found[f"{SHUFFLED[ALIGNED]}: points above the question alone"] == (-7.0, True)
    assert len(found) == 4 and len(bars(figures_of(unquantised=0.9))) == 1


def test_models_that_are_asked_are_shown_by_their_best_points_within_bytes() -> None:
    one = asked()[0]
    few = one.points[0].model_copy(update={"metric": 0.5, "payload_bytes": 3})
    worse, best = (few.model_copy(update={"metric": top, "payload_bytes": 12}) for top in (0.45, 0.875))
    shown = short_table([one.model_copy(update={"points": (few, worse, best), "unquantised_metric": 0.9})])
    assert shown.splitlines()[-1].endswith("| 50.0 (3 bytes) | 50.0 | 87.5 | 87.5 | 90.0 |")


def test_the_language_model_is_held_to_the_bars_on_its_own_pictures() -> None:
    accuracy = {SPOKEN_ALONE: 0.69, SHUFFLED[SPOKEN]: 0.695, SPOKEN_UNQUANTISED: 0.97, SPOKEN: 0.94, ALONE: 0.6}
    figures = {"rows": [{"row": row, "accuracy": value} for row, value in accuracy.items()], "trained": {}}
    found = {bar.name: (bar.value, bar.holds) for bar in bars(figures)}
    assert found == {
        "smollm2: right answers": (0.94, False),
        "smollm2: points behind its own, unquantised": (3.0, False),
        f"{SHUFFLED[SPOKEN]}: points above the question alone": (0.5, True),
    }


def test_rows_found_earlier_stay_while_their_recipes_do() -> None:
    now = {ALIGNED: "a", UNQUANTISED: "a"}
    both = merged(figures_of(aligned=0.9), figures_of(aligned=0.5, unquantised=0.8), now)
    assert [row["row"] for row in both["rows"]] == [
        ALONE, SHUFFLED[ALIGNED], ALIGNED, ALIGNED, SHUFFLED[UNQUANTISED], UNQUANTISED, UNQUANTISED
    ]  # fmt: skip
    assert set(both["trained"]) == set(CHOSEN) and [r["accuracy"] for r in both["rows"] if r["row"] == ALIGNED] == [
        0.1,
        0.9,
    ]
    assert set(merged(figures_of(aligned=0.9), figures_of("old", unquantised=0.8), now)["trained"]) == {ALIGNED}
    assert merged(figures_of(aligned=0.9), None, now)["rows"] == figures_of(aligned=0.9)["rows"]


def test_the_rows_share_stage_1_and_the_floor_is_the_likeliest_answer(tmp_path: Path) -> None:
    one, other = (answering.recipe_of(row) for row in CHOSEN)
    assert one.stage1_key() == other.stage1_key() and one.key() != other.key()
    data = write_questions(tmp_path / "data", 40)
    floor = answering.question_alone(load_split(data, "train"), load_split(data, "test"))
    assert 0.3 < floor["accuracy"] < 0.75 and floor["ece"] < 0.3


@pytest.mark.training
def test_rows_are_trained_and_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = {**STAGE, "epochs": 2}
    monkeypatch.setitem(BACKBONES, "few blocks", FewBlocks())
    small = recipe(stage1=stage, stage3={**stage, "decoded": "chain"})
    monkeypatch.setattr(answering, "read_recipe", lambda _: small)
    data = write_questions(tmp_path / "data", 48)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two that wait for each other on a busy machine take many times as long
    figures = answering.run(CHOSEN, load_split(data, "train"), load_split(data, "test"), tmp_path, None)
    torch.set_num_threads(threads)
    names = [row["row"] for row in figures["rows"]]
    assert names == [ALONE, SHUFFLED[ALIGNED], *[ALIGNED] * 3, SHUFFLED[UNQUANTISED], UNQUANTISED]
    assert [(row["bits"], row["payload_bytes"]) for row in figures["rows"] if row["row"] == ALIGNED][1:] == [
        ("1 1", 16), ("2 2", 32)
    ]  # fmt: skip
    last = {row["row"]: row["accuracy"] for row in figures["rows"]}
    assert last[UNQUANTISED] > last[SHUFFLED[UNQUANTISED]]
    assert figures["questions"] == len(load_split(data, "test").answers) and set(figures["trained"]) == set(CHOSEN)


@pytest.mark.training
def test_a_language_model_is_trained_and_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKBONES, "few blocks", FewBlocks())
    install_language_model(tmp_path / "language", monkeypatch)
    stage = {**STAGE, "epochs": 1}
    picture = recipe(stage1=stage, stage3={**stage, "decoded": "chain"})
    values = {"name": "spoken", "picture": picture, "language_model": "tiny", "epochs": 1}
    monkeypatch.setattr(speaking, "recipe", lambda: checked(LanguageRecipe, values, "spoken"))
    monkeypatch.setattr(speaking, "PICTURES", 12)
    data = write_questions(tmp_path / "data", 32)
    split, test = load_split(data, "train"), load_split(data, "test")
    train(picture, split, tmp_path, weights_file=None, device=torch.device("cpu"))
    of_row, rows = speaking.run(split, test, tmp_path)
    assert [row["row"] for row in rows] == [*BESIDE[SPOKEN], SPOKEN, SPOKEN]
    assert [(row["bits"], row["payload_bytes"]) for row in rows[-3:]] == [("–", "–"), ("1 1", 16), ("2 2", 32)]
    assert of_row["pictures"] == 12 and 24 <= of_row["questions"] <= 36 and of_row["minutes"] >= 0
    both = merged({"trained": {SPOKEN: of_row}, "rows": rows}, figures_of(aligned=0.9), {ALIGNED: "a"})
    assert both["rows"][-len(rows) :] == rows and set(both["trained"]) == {ALIGNED, SPOKEN}
