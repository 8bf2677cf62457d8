"""Sizes that are no points of a model: as they are named, and measured through its parts."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artoveq.evaluation import streamed
from artoveq.sizes import at_sizes, drawn_sizes, sizes_of
from edge_client import Encoder
from tests import tiny
from tests.wire.manifests import manifest_of
from wire.artifact import load_artifact
from wire.exceptions import UsageError
from wire.manifest import block_bytes

MANIFEST = manifest_of([1, 1], [[3, 5]], largest=1024, any_size=True)


def test_one_size_is_for_all_segments_and_each_may_have_its_own() -> None:
    assert sizes_of("2, 37,1024", MANIFEST, 0) == [(2, 2), (37, 37), (1024, 1024)]
    assert sizes_of("8/1,1/3", MANIFEST, 0) == [(8, 1), (1, 3)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0", r"sizes of none are 1 to 1024"),
        ("1025", r"sizes of none are 1 to 1024"),
        ("2.5", r"'2.5' is not a codebook size; write whole numbers"),
        ("all", r"'all' is not a codebook size"),
        ("", r"'' is not a codebook size"),
        ("1", r"nothing is sent"),
        ("2/3/4", r"2/3/4 has 3 sizes, and none has 2 segments"),
        ("drawn:none", r"'none' is not how many sizes to draw"),
        ("drawn:0", r"'0' is not how many sizes to draw"),
    ],
)
def test_other_sizes_get_a_sentence(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        sizes_of(text, MANIFEST, 0)


def test_a_model_of_powers_of_two_has_no_other_sizes() -> None:
    levels = manifest_of([2], [[4]])
    assert sizes_of("2,256", levels, 0) == [(2,), (256,)]
    for text in ("3", "drawn:3"):
        with pytest.raises(UsageError, match="power"):
            sizes_of(text, levels, 0)


@given(st.integers(1, 50), st.integers(0, 1000), st.integers(2, 2000))
@settings(deadline=None)
def test_sizes_are_drawn_within_the_range_by_the_seed(count: int, seed: int, largest: int) -> None:
    found = drawn_sizes(count, seed, largest)
    assert 1 <= len(found) <= count and found == sorted(set(found))
    assert all(2 <= size <= largest for size in found)
    assert found == drawn_sizes(count, seed, largest)


def test_every_octave_is_drawn_as_often() -> None:
    octaves = [size.bit_length() for seed in range(300) for size in drawn_sizes(5, seed, 1023)]
    assert all(octaves.count(bits) > 120 for bits in range(4, 11))


def test_an_artifact_at_other_sizes_encodes_at_them(tmp_path: Path) -> None:
    artifact = tiny.any_size(tmp_path / "model")
    found = at_sizes(artifact, [(7, 7), (3, 1), (2, 250)], tmp_path / "other")
    manifest = load_artifact(found.folder).manifest
    assert [point.sizes for point in manifest.points] == [(3, 1), (7, 7), (2, 250)]
    assert all(
        point.payload_bytes == block_bytes(manifest.sub_vectors_of_segments, point.sizes) for point in manifest.points
    )
    encoder, picture = Encoder(found), tiny.noise(0)
    for number, point in enumerate(manifest.points, 1):
        indices = encoder.encode(picture, number)
        payload = encoder.codec.write_block(indices, number)
        assert len(payload[0]) == point.payload_bytes
        assert np.array_equal(encoder.codec.read_block(*payload, number), tiny.indices_of(picture, point.sizes))


@pytest.mark.parametrize("coded", [False, True])
def test_a_refinable_models_levels_are_blocks(tmp_path: Path, coded: bool) -> None:
    artifact = tiny.progressive(tmp_path / "model", coded=coded)
    found = at_sizes(artifact, [(4, 4)], tmp_path / "other")
    encoder, picture = Encoder(found), tiny.noise(0)
    assert not found.manifest.refinable
    assert np.array_equal(encoder.encode(picture, 1), tiny.indices_of(picture, (4, 4)))


def test_of_hundreds_of_points_those_of_one_size_are_streamed() -> None:
    points = [(2, 1), (2, 2), (3, 2), (37, 37)]
    assert streamed(manifest_of([1, 1], points, largest=1024, any_size=True)) == [2, 4]
    assert streamed(manifest_of([1, 1], points[:2])) == [1, 2]
