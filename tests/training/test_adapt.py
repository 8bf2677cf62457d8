"""An artifact gains codebook sizes; at its own it computes what it did."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from artoveq.sizes import at_sizes
from edge_client import Encoder
from inference_server.decoder import OnnxDecoder
from tests import tiny
from tests.artoveq.test_cli import artoveq
from tests.conftest import MODEL
from training.adapt import Regrouped, adapted, check_adaptable, codewords, regrouped
from wire.artifact import load_artifact, write_artifact
from wire.exceptions import UsageError
from wire.manifest import TORCH_DECODER
from wire.programs import clean_program

NESTED = MODEL.with_name("imagewoof64-compact-nested")


def test_a_size_that_is_not_there_has_the_next_smaller_codebook() -> None:
    books = Regrouped({size: torch.full((1, size, 2), float(size)) for size in (1, 2, 5)})
    assert books.table[0, :, 0].tolist() == [1, 2, 2, 5, 5, 5, 5, 5]
    assert books.starts.tolist() == [0, 0, 1, 1, 1, 3] and books.counts.tolist() == [1, 1, 2, 2, 2, 5]


@pytest.mark.training
@pytest.mark.filterwarnings("ignore")  # of torch's exporter
def test_a_nested_model_gains_sizes(tmp_path: Path) -> None:
    old = load_artifact(NESTED)
    values, files = adapted(old, regrouped(old, torch.ones(8, 256), [3, 300]), [(3,), (300,)])
    new = load_artifact(write_artifact(tmp_path / "new", values, files).folder)
    assert [point.sizes[0] for point in new.manifest.points] == [2, 3, 4, 8, 16, 32, 64, 128, 256, 300]
    before, after = Encoder(old), Encoder(new)
    pictures = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3)).astype(np.uint8)
    for number, point in enumerate(new.manifest.points, 1):
        indices = after.encode_batch(pictures, number)  # checked to lie below the size
        sizes = np.tile(np.array(point.sizes, np.int32), (3, 1))
        logits = OnnxDecoder(new).decode(indices, sizes, np.zeros(3, np.int64))
        if point.sizes in {own.sizes for own in old.manifest.points}:
            assert np.array_equal(indices, before.encode_sizes(pictures, sizes[0]))
            np.testing.assert_allclose(
                logits, OnnxDecoder(old).decode(indices, sizes, np.zeros(3, np.int64)), atol=1e-4
            )
    assert torch.equal(codewords(new, 3), regrouped(old, torch.ones(8, 256), [3]).table[:, 3:6])
    clean_program(new.read(TORCH_DECODER), "the adapted decoder")
    other = Encoder(at_sizes(new, [(5,)], tmp_path / "five"))
    assert np.array_equal(other.encode_batch(pictures, 1), after.encode_sizes(pictures, np.array([4], np.int32)))


def test_what_cannot_be_adapted_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="takes any size already"):
        check_adaptable(tiny.any_size(tmp_path / "any").manifest)
    with pytest.raises(UsageError, match="its planes would be lost"):
        check_adaptable(tiny.progressive(tmp_path / "planes").manifest)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ("0", "sizes of imagewoof64-compact-nested are 1 to 1024"),
        ("1025", "sizes of imagewoof64-compact-nested are 1 to 1024"),
        ("2.5", "'2.5' is not a codebook size"),
        ("all", "'all' is not a codebook size"),
        ("3/5", "3/5 has 2 sizes, and imagewoof64-compact-nested has 1 segments"),
    ],
)
def test_other_sizes_get_a_sentence(sizes: str, said: str) -> None:
    code, out, err = artoveq("adapt", str(NESTED), "--sizes", sizes, "--data", "nowhere")
    assert code == 1 and said in json.dumps(err, ensure_ascii=False) and not out
