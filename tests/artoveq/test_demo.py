"""What the demo shows is right."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from rich.console import Console

from artoveq.demo.camera import LABEL, frames
from artoveq.demo.show import print_summary
from edge_client.encoder import Encoder
from inference_server.decoder import OnnxDecoder
from wire.artifact import Artifact


@pytest.mark.slow  # it decodes a minute of pictures
def test_every_frame_of_a_minute_is_named_rightly_at_the_lowest_level_and_at_the_best(artifact: Artifact) -> None:
    encoder, decoder, manifest = Encoder(artifact), OnnxDecoder(artifact), artifact.manifest
    points = np.array([manifest.point_of_level(1), manifest.point_of_level(8)])
    sizes = np.array([manifest.point(point).sizes for point in points], np.int32)
    for frame in islice(frames(), 60):
        assert frame.label in manifest.task.classes
        picture = np.ascontiguousarray(frame.picture)
        indices = np.stack([encoder.encode(picture, int(point)) for point in points]).astype(np.int32)
        named = decoder.decode(indices, sizes, points).argmax(1)
        assert [manifest.task.classes[i] for i in named] == [frame.label] * 2, frame.name


@pytest.mark.parametrize(
    ("alone", "said"), [((True, False, True), ", 2 by the edge alone, 3 named"), ((False,), "(100%), 1 named")]
)
def test_the_summary_says_what_the_edge_answered_alone(alone: tuple[bool, ...], said: str) -> None:
    codecs = {"JPEG": 1200, "WebP": 600}
    result = {"progressive": False, "best": LABEL, "label": LABEL, "met": True, "bytes": 64, "codecs": codecs}
    console = Console(record=True, width=200)
    print_summary(console, [{**result, "alone": one} for one in alone], 0.15)
    assert said in console.export_text()
