"""The edge half of the network, through the shipped encoder.onnx."""

from pathlib import Path

import numpy as np
import pytest

from artoveq.sizes import at_sizes
from edge_client import Encoder
from tests import tiny
from tests.conftest import PICTURES
from wire.artifact import Artifact
from wire.exceptions import PointError
from wire.pictures import read_picture


def test_a_prefix_of_the_finest_indices_is_the_encoding_at_each_point(artifact: Artifact) -> None:
    encoder = Encoder(artifact)
    random = np.random.default_rng(1).integers(0, 256, (80, 90, 3), np.uint8)
    for picture in (random, *(read_picture(p) for p in PICTURES.glob("*.png"))):
        finest = encoder.encode(picture, encoder.finest)
        for point in range(1, len(encoder.manifest.points) + 1, 5):
            assert np.array_equal(encoder.encode(picture, point), encoder.codec.at_point(finest, point))


def test_a_picture_is_encoded_alike_alone_and_in_a_batch(artifact: Artifact) -> None:
    encoder = Encoder(artifact)
    pictures = np.random.default_rng(2).integers(0, 256, (5, 64, 64, 3), np.uint8)
    together = encoder.encode_batch(pictures, encoder.finest)
    differing = sum((encoder.encode(p, encoder.finest) != row).sum() for p, row in zip(pictures, together, strict=True))
    assert differing <= 0.001 * together.size  # a tie may fall the other way


@pytest.mark.parametrize("coded", [False, True])
def test_a_picture_fills_the_bytes_that_it_may_take(tmp_path: Path, coded: bool) -> None:
    """Every size for one segment: whole words of 4 bytes where coding pays."""
    artifact = tiny.any_size(tmp_path / "model", coded=coded)
    every = at_sizes(artifact, [(k, 1) for k in range(2, 301)], tmp_path / "every")
    encoder, picture = Encoder(every), tiny.noise(7)

    def taken(point: int) -> int:
        return len(encoder.codec.write_block(encoder.encode(picture, point), point)[0])

    for limit in (4, 8, 12):
        found = encoder.point_within(picture, limit)
        assert limit - 1 <= taken(found) <= limit
        assert found == encoder.manifest.point_within(limit) or coded
    assert encoder.point_within(picture, 1) == 1


def test_points_are_checked(artifact: Artifact) -> None:
    with pytest.raises(PointError, match="Point 999 does not exist"):
        Encoder(artifact).encode(np.zeros((64, 64, 3), np.uint8), 999)
