"""The edge half of the network, through the shipped encoder.onnx."""

import numpy as np
import pytest

from edge_client import Encoder
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


def test_points_are_checked(artifact: Artifact) -> None:
    with pytest.raises(PointError, match="Point 999 does not exist"):
        Encoder(artifact).encode(np.zeros((64, 64, 3), np.uint8), 999)
