"""Results as committed files, and the figures that READMEs show of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import markdown, results, tables
from benchmarks.results import Bar, read_results, write_results
from tests.conftest import ROOT

GOOD, MISSED = Bar("rate", 0.9, 0.85, "at least"), Bar("lost", 2, 0, "at most")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("bar", "holds"),
    [
        (GOOD, True),
        (MISSED, False),
        (Bar("as much as it must", 1, 1, "at least"), True),
        (Bar("as much as it may", 1, 1, "at most"), True),
        (Bar("no number", float("nan"), 1, "at most"), False),
    ],
)
def test_a_bar_holds_or_does_not(bar: Bar, holds: bool) -> None:
    assert bar.holds is holds


def test_results_say_what_was_found_where_and_by_which_command(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write_results("service", "soak", {"answered": 3}, [GOOD], "python -m benchmarks.service soak") == 0
    written = json.loads((folder / "service" / "results" / "soak.json").read_text())
    said = capsys.readouterr()
    assert json.loads(said.out) == written == read_results("service", "soak") and not said.err
    assert written["name"] == "soak" and written["command"] == "python -m benchmarks.service soak"
    assert written["cpu"] and written["cores"] >= 1 and written["commit"] and len(written["date"]) == 10
    assert written["figures"] == {"answered": 3}
    assert written["bars"] == [{"name": "rate", "value": 0.9, "limit": 0.85, "kind": "at least", "holds": True}]


def test_a_missed_bar_ends_the_command_with_1_and_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert write_results("service", "soak", {}, [GOOD, MISSED]) == 1
    assert capsys.readouterr().err == "lost: 2, at most 0: does not hold.\n"


def test_what_was_not_run_yet_is_said() -> None:
    assert read_results("service", "soak") is None
    assert "was not run yet" in tables.rendered("service soak")
    row = markdown.Row("streams that come and go", lambda found: f"{found['answered']} answered")
    assert "not run yet" in markdown.benchmarks_table("service", {"soak": row})
    write_results("service", "soak", {"answered": 3}, [GOOD, MISSED])
    shown = markdown.benchmarks_table("service", {"soak": row})
    assert "rate: **0.9** (≥ 0.85)<br>lost: **2** (≤ 0), missed | 3 answered |" in shown


def test_any_result_has_a_table() -> None:
    write_results("link", "deadlines", {"rows": [{"trace": "step", "accuracy_mean": 80.25}, {"trace": "lte"}]}, [GOOD])
    shown = tables.rendered("link deadlines")
    assert "| trace | accuracy mean |\n| --- | --- |\n| step | 80.25 |\n| lte | |\n" in shown
    assert "| rate | 0.9 | ≥ 0.85 | yes |" in shown


def test_only_what_stands_between_the_marks_is_made_anew() -> None:
    write_results("link", "rules", {"behind": 0.5}, [], "python -m benchmarks.link rules")
    begin, end = "before\n<!-- figures: link rules -->\n", "<!-- end -->\nbehind\n"
    filled = tables.filled(f"{begin}old\n{end}", "README.md")
    assert filled.startswith(begin) and filled.endswith(end) and "| 0.5 |" in filled and "old" not in filled
    assert tables.filled(filled, "README.md") == filled


def test_a_table_without_an_end_or_a_name_is_a_sentence() -> None:
    with pytest.raises(tables.TableError, match=r"A table in README\.md has no end; write <!-- end -->"):
        tables.filled("<!-- figures: models -->\n\n<!-- figures: models -->\n\n<!-- end -->\n", "README.md")
    with pytest.raises(tables.TableError, match="There is no table 'weather'; write one of models"):
        tables.filled("<!-- figures: weather -->\n<!-- end -->\n", "README.md")


def test_the_figures_in_the_readmes_are_those_of_the_files() -> None:
    command = [sys.executable, "-m", "benchmarks.tables", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_table_is_shown_somewhere() -> None:
    shown = {key for page in tables.pages() for key in tables.BEGINS.findall(page.read_text())}
    assert set(tables.own_tables()) <= shown


def test_committed_results_hold_their_bars() -> None:
    for path in (ROOT / "benchmarks").glob("*/results/*.json"):
        found = json.loads(path.read_text())
        assert found["name"] == path.stem, path
        for bar in found["bars"]:
            assert Bar(bar["name"], bar["value"], bar["limit"], bar["kind"]).holds is bar["holds"], path
