"""The order of the planes, on a decoder that is a formula."""

import numpy as np
import pytest
from numpy.typing import NDArray

from training.chain import coarser, greedy_chain, order_of, with_chain
from wire.manifest import Manifest
from wire.manifest_json import fingerprint_of

SEGMENTS, LARGEST, POSITIONS = (1, 1, 2), 8, 4


def indices(pictures: int = 5) -> NDArray[np.integer]:
    return np.random.default_rng(0).integers(LARGEST, size=(pictures, POSITIONS * sum(SEGMENTS))).astype(np.int32)


def sizes_of(_: NDArray[np.integer], sizes: NDArray[np.integer]) -> NDArray[np.integer]:
    return sizes[0]


def test_coarser_indices_are_the_first_bits() -> None:
    fine = indices()
    found = coarser(fine, LARGEST, (8, 1, 2), SEGMENTS).reshape(-1, 4)
    of_group = fine.reshape(-1, 4)
    assert np.array_equal(found[:, 0], of_group[:, 0])
    assert not found[:, 1].any()
    assert np.array_equal(found[:, 2:], of_group[:, 2:] >> 2)


def test_what_gives_most_for_its_bytes_comes_first() -> None:
    """Segment 2 gives half more than segment 0 by each bit, and takes twice the bytes."""
    gain = np.array([2.0, 0.5, 3.0])
    found = greedy_chain(indices(), LARGEST, SEGMENTS, sizes_of, lambda sizes: -float(gain @ np.log2(sizes)))
    assert found.order == (0, 0, 0, 2, 2, 2, 1, 1, 1)
    assert found.losses == pytest.approx(-np.cumsum([0, 2, 2, 2, 3, 3, 3, 0.5, 0.5, 0.5]))


def test_where_a_whole_level_is_better_the_order_leads_through_it() -> None:
    """Alone, every first bit but that of segment 0 gives nothing; together they give much."""

    def loss(sizes: NDArray[np.integer]) -> float:
        bits = np.log2(sizes)
        return -float(bits[0] + 100 * (bits.min() >= 1))

    found = greedy_chain(indices(), LARGEST, SEGMENTS, sizes_of, loss)
    assert sorted(found.order[:3]) == [0, 1, 2]
    assert sorted(found.order) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_prefixes_tell_the_order_of_the_planes() -> None:
    assert order_of([(1, 1, 2), (1, 2, 2), (1, 2, 4), (2, 2, 4)]) == [2, 1, 2, 0]


def test_a_chain_becomes_planes_and_points_of_the_manifest() -> None:
    whole = [{"sizes": [k] * 3, "payload_bytes": 2 * (k.bit_length() - 1), "metric": 0.5} for k in (2, 4, 8)]
    values = {
        "name": "toy", "profile": "own", "family": "progressive", "dataset": "none",
        "latent": {"shape": [4, 2, 2], "d": 1}, "segments": list(SEGMENTS), "largest_size": LARGEST,
        "points": whole, "planes": [], "task": {"name": "classification", "metric": "top1"}, "backbone": {},
        "preprocessing": {"size": 32}, "unquantised_metric": 0, "recipe": {}, "files": {}, "format_version": 2,
    }  # fmt: skip
    chained = with_chain(values, (0, 2, 1, 2, 2, 0, 1, 0, 1))
    manifest = Manifest.model_validate({**chained, "fingerprint": fingerprint_of(chained)})
    assert len(manifest.planes) == 9 and len(manifest.points) == 9 + 1  # two of the three whole levels are prefixes
    assert manifest.point(manifest.chain[2]).sizes == (2, 2, 2) and manifest.point(manifest.chain[2]).metric == 0.5
    assert values["planes"] == []
