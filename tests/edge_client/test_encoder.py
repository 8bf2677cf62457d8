import numpy as np
import pytest

from edge_client import Encoder
from tests.conftest import PICTURES
from wire.artifact import Artifact
from wire.exceptions import LevelError
from wire.pictures import read_picture


def test_a_prefix_of_the_planes_is_the_encoding_at_that_level(artifact: Artifact) -> None:
    encoder = Encoder(artifact)
    random = np.random.default_rng(1).integers(0, 256, (80, 90, 3), np.uint8)
    for picture in (random, *(read_picture(p) for p in PICTURES.glob("*.png"))):
        top = encoder.encode(picture, 8)
        for level in range(1, 9):
            assert np.array_equal(encoder.encode(picture, level), top >> (8 - level))


def test_a_picture_is_encoded_alike_alone_and_in_a_batch(artifact: Artifact) -> None:
    encoder = Encoder(artifact)
    pictures = np.random.default_rng(2).integers(0, 256, (5, 64, 64, 3), np.uint8)
    together = encoder.encode_batch(pictures, 8)
    differing = sum((encoder.encode(p, 8) != row).sum() for p, row in zip(pictures, together, strict=True))
    assert differing <= 0.001 * together.size  # a tie may fall the other way


def test_levels_are_checked(artifact: Artifact) -> None:
    with pytest.raises(LevelError, match="Level 9 does not exist"):
        Encoder(artifact).encode(np.zeros((64, 64, 3), np.uint8), 9)
