"""The benchmark of reconstructions: its rows, its bars, its table, and a whole run of it, small."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.accuracy import autoencoders, reconstruction
from benchmarks.accuracy.reconstruction import FRECHET, ROWS, bars, merged, psnr_by_size, reconstruction_table
from training.data import Split


def figures_of(adaptive: dict[int, float], fixed: dict[int, float], random: dict[int, float]) -> dict[str, Any]:
    rest = {"ssim": 0.8, "perplexity": 12.3, FRECHET: 4.5}
    names = [*(("rate-adaptive", size, value) for size, value in adaptive.items())]
    names += [*((f"fixed-{size.bit_length() - 1}", size, value) for size, value in fixed.items())]
    names += [*(("random", size, value) for size, value in random.items())]
    return {"rows": [{"row": row, "size": size, "psnr": value, **rest} for row, size, value in names]}


def test_rows_share_stage_1_and_others_have_fewer_epochs_after_it() -> None:
    recipes = [autoencoders.recipe_of(row) for row in ROWS]
    assert len({recipe.stage1_key() for recipe in recipes}) == 1 and len({recipe.key() for recipe in recipes}) == 6
    assert [recipe.stage3.epochs for recipe in recipes] == [15, 5, 5, 5, 5, 5]
    assert [recipe.codebook.max_level for recipe in recipes] == [10, 10, 4, 6, 8, 10]
    assert recipes[1].codebook == recipes[0].codebook
    assert autoencoders.trained_sizes() == [16, 32, 64, 128, 256, 512, 1024]


def test_a_model_for_each_size_is_one_row_and_the_bars_are_gaps_to_it() -> None:
    figures = figures_of({16: 20.0, 64: 22.0, 1024: 25.0}, {16: 21.0, 1024: 25.1}, {16: 15.0})
    assert psnr_by_size(figures)["fixed"] == {16: 21.0, 1024: 25.1}
    assert [(bar.value, bar.limit, bar.holds) for bar in bars(figures)] == [(1.0, 0.94, False), (0.1, 0.6, True)]
    assert not bars(figures_of({}, {16: 21.0}, {}))


def test_rows_found_earlier_stay_while_their_recipes_do() -> None:
    def of(psnr: float, **recipes: str) -> dict[str, Any]:
        rows = [{"row": name.replace("_", "-"), "size": 16, "psnr": psnr} for name in recipes]
        rows += [{"row": "random", "size": 16, "psnr": psnr}] if "fixed_10" in recipes else []
        return {"rows": rows, "trained": {name.replace("_", "-"): {"recipe": key} for name, key in recipes.items()}}

    now = {"rate-adaptive": "new", "fixed-4": "a", "fixed-6": "a", "fixed-10": "a"}
    both = merged(of(2.0, fixed_4="a"), of(1.0, rate_adaptive="old", fixed_4="a", fixed_6="a", fixed_10="a"), now)
    assert [(row["row"], row["psnr"]) for row in both["rows"]] == [
        ("fixed-4", 2.0), ("fixed-6", 1.0), ("fixed-10", 1.0), ("random", 1.0)
    ]  # fmt: skip
    assert list(both["trained"]) == ["fixed-4", "fixed-6", "fixed-10"]
    assert merged(of(2.0, fixed_4="a"), None, now)["rows"] == of(2.0, fixed_4="a")["rows"]


def test_the_table_has_gaps_beside_the_papers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconstruction, "read_results", lambda *_: None)
    assert "not run yet" in reconstruction_table()
    figures = figures_of({16: 20.0, 32: 20.9, 1024: 25.0}, {16: 21.0, 1024: 25.1}, {16: 15.0, 1024: 25.1})
    monkeypatch.setattr(reconstruction, "read_results", lambda *_: {"figures": figures})
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in reconstruction_table().splitlines()]
    assert [line[0] for line in lines[2:]] == ["1024", "32", "16"]
    assert lines[2][1:] == [
        "25.00",
        "0.800",
        "12",
        "4.5",
        "25.10",
        "-0.10",
        "–",
        "+0.00",
        "-0.30",
        "-0.44",
        "-1.33",
        "+0.00",
    ]
    assert lines[3][5:9] == ["–", "–", "–", "–"] and lines[3][9] == "-0.68"


@pytest.mark.training
def test_rows_are_trained_and_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, few = autoencoders.RECIPE.read_text(), tmp_path / "recipe.toml"
    few.write_text(re.sub(r"epochs = \d+", "epochs = 1", text.replace("batch = 128", "batch = 16")))
    monkeypatch.setattr(autoencoders, "RECIPE", few)
    monkeypatch.setattr(autoencoders, "Features", _Means)
    monkeypatch.setattr(autoencoders, "FIXED_LEVELS", (4,))
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 255, (32, 32, 3), np.uint8) for _ in range(48)]
    split = Split(("odd", "even"), pictures, np.arange(48) % 2)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    figures = autoencoders.run(["rate-adaptive", "fixed-4"], split, split, tmp_path, None)
    torch.set_num_threads(threads)
    found = {(row["row"], row["size"]): row for row in figures["rows"]}
    sizes = autoencoders.trained_sizes()
    assert sorted(found) == [("fixed-4", 16), *((row, size) for row in ("random", "rate-adaptive") for size in sizes)]
    assert found["random", 16]["psnr"] == pytest.approx(found["fixed-4", 16]["psnr"], abs=1e-3)  # all of its rows
    assert all(5 < row["psnr"] < 20 and -1 < row["ssim"] < 1 and row[FRECHET] >= 0 for row in found.values())
    assert all(1 <= row["perplexity"] <= size for (_, size), row in found.items())
    assert set(figures["trained"]) == {"rate-adaptive", "fixed-4"}
    assert all(one["recipe"] == autoencoders.recipe_keys()[row] for row, one in figures["trained"].items())


class _Means:
    """In place of a network that is not at hand: the mean of each colour of each quarter."""

    def __init__(self, *_: Any) -> None:
        pass

    def of(self, batches: Any) -> torch.Tensor:
        return torch.cat([torch.nn.functional.adaptive_avg_pool2d(one, 2).flatten(1) for one in batches])
