"""What each way to codebooks of any size is worth: quantisation noise on the latents of a model that is shipped.

The encoder stays as it is: only codebooks are trained, on training pictures, and all are measured on test pictures.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from torch import Tensor

from benchmarks.accuracy.generators import (
    BASE,
    LARGEST,
    Codebooks,
    FreeTable,
    Generated,
    k_means,
    model_based,
    of_each_size,
    random_rows,
    sqnr,
    trained,
)
from benchmarks.results import Bar
from training.data import Split
from training.splice import before_quantiser
from wire.artifact import load_artifact
from wire.manifest import ENCODER
from wire.pictures import fit_picture

SIZES = (2, 4, 8, 16, 37, 64, 100, 128, 200, 256, 400, 1024)
TRAIN_PICTURES, TEST_PICTURES = 512, 512
CEILING, FREE, FLOOR, MODEL_BASED = "k-means for each size", "free table", "random rows", "model-based"
LSTMS = {"LSTM, cross-forcing": True, "LSTM, no cross-forcing": False}
SEEDS = (0, 1)

Row = Mapping[int, float]
"""SQNR in dB by size."""


def latents(folder: Path, split: Split, count: int) -> Tensor:
    """Sub-vectors (N, G, d) of `count` pictures of the split, evenly drawn."""
    artifact = load_artifact(folder)
    graph, name = before_quantiser(artifact.read(ENCODER))
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    size, found = artifact.manifest.preprocessing.size, []
    for rows in np.array_split(np.random.default_rng(0).permutation(len(split))[:count], max(1, count // 64)):
        pictures = np.stack([fit_picture(split.picture(i), size) for i in rows])
        found.append(session.run([name], {"picture": pictures})[0])
    return torch.from_numpy(np.concatenate(found))


def raq(folder: Path, train: Split, test: Split) -> tuple[dict[str, Any], list[Bar]]:
    """The rows of the table, and what must hold of them."""
    x, unseen = latents(folder, train, TRAIN_PICTURES), latents(folder, test, TEST_PICTURES)
    torch.manual_seed(0)
    largest, base = k_means(x, LARGEST), k_means(x, BASE)
    ways: dict[str, Codebooks] = {
        CEILING: of_each_size(x, largest),
        MODEL_BASED: model_based(x, base),
        FLOOR: random_rows(largest, 0),
    }
    seconds: dict[str, float] = {}
    generators: dict[str, tuple[FreeTable | Generated, int]] = {
        **{_seeded(seed): (FreeTable(largest), seed) for seed in SEEDS},
        **{name: (Generated(base, cross_forcing=forced), 0) for name, forced in LSTMS.items()},
    }
    for name, (generator, seed) in generators.items():
        began = time.monotonic()
        ways[name] = trained(generator, x, seed)
        seconds[name] = round(time.monotonic() - began, 1)
        print(f"{name}: trained in {seconds[name]} s", file=sys.stderr)
    rows = {name: {size: sqnr(unseen, codebooks(size)) for size in SIZES} for name, codebooks in ways.items()}
    figures = {"model": folder.name, "sizes": list(SIZES), "sqnr_db": rows, "training_s": seconds}
    return figures, bars(rows)


def bars(rows: Mapping[str, Row]) -> list[Bar]:
    """Of SQNR in dB."""
    seeds = [rows[_seeded(seed)] for seed in SEEDS]
    free = {size: min(row[size] for row in seeds) for size in SIZES}
    lstm = {size: max(rows[name][size] for name in LSTMS) for size in SIZES}
    gap = {size: rows[CEILING][size] - free[size] for size in SIZES}
    above = min(rows[MODEL_BASED][size] - rows[FLOOR][size] for size in SIZES if 8 <= size <= 64)
    return [
        Bar("LSTM above the free table, dB, any size", _worst(lstm[k] - free[k] for k in SIZES), 0.1, "at most"),
        Bar("free table below k-means, dB, from size 64", _worst(gap[k] for k in SIZES if k >= 64), 0.6, "at most"),
        Bar("free table below k-means, dB, at size 16", round(gap[16], 3), 0.94, "at most"),
        Bar("model-based above random rows, dB, 8 to 64", round(above, 3), 2.0, "at least"),
    ]


def _seeded(seed: int) -> str:
    return f"{FREE}, seed {seed}"


def _worst(values: Iterable[float]) -> float:
    return round(max(values), 3)
